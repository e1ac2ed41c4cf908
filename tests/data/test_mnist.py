from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bitq.core.errors import DataError
from bitq.data.__main__ import compose
from bitq.data.config import MnistConfig, RemoteFile
from bitq.data.load import load
from bitq.data.mnist import resized
from tests.data_sets import write_mnist


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pixels of a row hold its number modulo 256."""
    root = tmp_path_factory.mktemp("data")
    write_mnist(root)
    return root


def test_splits_and_encoding(folder: Path) -> None:
    dataset = load(MnistConfig(root=str(folder)))
    assert dataset.counts == {"train": 55_000, "val": 5_000, "test": 10_000}
    first = [int(split.x[0, 0, 0, 0]) for split in (dataset.train, dataset.val, dataset.test)]
    assert first == [-128, 55_000 % 256 - 128, -128]
    real = (np.array([33, 255]) - 128 - dataset.input.zero_point) * dataset.input.scale
    np.testing.assert_allclose(real, (np.array([33, 255]) / 255 - 33 / 255) / 0.3081)


def test_limit_is_stratified_and_seeded(folder: Path) -> None:
    config = MnistConfig(root=str(folder), limit=200)
    dataset = load(config)
    assert dataset.counts == {"train": 200, "val": 200, "test": 200}
    assert np.bincount(dataset.train.y).tolist() == [20] * 10
    assert dataset.digest() == load(config).digest() != load(replace(config, seed=1)).digest()
    assert any("limit" in note for note in dataset.notes)


def test_training_on_validation_is_noted(folder: Path) -> None:
    dataset = load(MnistConfig(root=str(folder), train_on_validation=True))
    assert dataset.counts["train"] == 60_000
    assert dataset.notes


def test_missing_files_say_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mnist/train-images.*python -m bitq\.data get mnist.*BITQ_DATA") as caught:
        load(MnistConfig(root=str(tmp_path)))
    assert caught.value.exit_code == 3


def test_another_file_than_the_config_names_is_refused(folder: Path) -> None:
    file = RemoteFile("train-images-idx3-ubyte", "https://x.invalid/", 1, "0" * 64)
    with pytest.raises(DataError, match=r"expected 0{64}"):
        load(MnistConfig(root=str(folder), files=[file]))


@pytest.mark.parametrize("labels", [bytes(9_999), bytes(9_999) + b"\x0a"])
def test_labels_that_do_not_fit_are_refused(folder: Path, tmp_path: Path, labels: bytes) -> None:
    (tmp_path / "mnist").mkdir()
    for path in (folder / "mnist").iterdir():
        if path.name != "t10k-labels-idx1-ubyte.gz":
            (tmp_path / "mnist" / path.name).symlink_to(path)
    content = struct.pack(">4BI", 0, 0, 8, 1, len(labels)) + labels
    (tmp_path / "mnist/t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=r"9999 labels .* for 10000 images|row 9999 has label 10, allowed 0 to 9"):
        load(MnistConfig(root=str(tmp_path)))


def test_the_real_files(data_folder: Path) -> None:
    if not (data_folder / "mnist").is_dir():
        pytest.skip("real data: no mnist folder under BITQ_DATA")
    dataset = load(compose("mnist"))
    assert np.bincount(dataset.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    together = np.bincount(np.concatenate([dataset.train.y, dataset.val.y]))
    assert together.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    real = (dataset.train.x.astype(np.float32) - dataset.input.zero_point) * np.float32(dataset.input.scale)
    assert abs(float(real.mean())) < 0.02
    assert abs(float(real.std()) - 1) < 0.02


@pytest.mark.parametrize("side", [16, 24])
def test_smaller_images_are_cut_or_averaged_in_integers(side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28))
    small = resized((pixels - 128).astype(np.int8), side).astype(np.int64) + 128
    assert small.shape == (3, 1, side, side)
    if side == 24:
        assert (small == pixels[:, :, 2:26, 2:26]).all()
        return
    for row, column in np.ndindex(16, 16):
        block = np.zeros((3, 4))
        for index, (i, j) in enumerate(np.ndindex(2, 2)):
            y, x = 2 * row + i - 2, 2 * column + j - 2
            if 0 <= y < 28 and 0 <= x < 28:
                block[:, index] = pixels[:, 0, y, x]
        assert (small[:, 0, row, column] == np.floor(block.mean(axis=1) + 0.5)).all()


def test_the_side_is_the_shape_of_the_input(folder: Path) -> None:
    dataset = load(MnistConfig(root=str(folder), side=16, limit=100))
    assert dataset.input.shape == dataset.train.x.shape[1:] == (1, 16, 16)
    assert [step.name for step in dataset.preprocess] == ["pad", "mean", "offset"]
