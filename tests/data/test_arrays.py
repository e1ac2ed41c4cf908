from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitq.core.errors import ConfigError, DataError
from bitq.data.config import ArraysConfig
from bitq.data.dataset import Dataset
from bitq.data.load import load

RNG = np.random.default_rng(0)
Y = np.arange(100) % 3


def make(tmp_path: Path, config: ArraysConfig | None = None, **arrays: Any) -> Dataset:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    config = config or ArraysConfig()
    config.path = str(path)
    return load(config)


def rows(dataset: Dataset) -> list[bytes]:
    return sorted(x.tobytes() for split in (dataset.train, dataset.val, dataset.test) for x in split.x)


def test_bytes_are_taken_exactly(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (100, 3, 20), np.uint8)
    dataset = make(tmp_path, x=x, y=Y)
    assert rows(dataset) == sorted((row.astype(int) - 128).astype(np.int8).tobytes() for row in x)
    assert dataset.counts == {"train": 60, "val": 20, "test": 20}
    signed = make(tmp_path, x=x.view(np.int8), y=Y)
    assert rows(signed) == sorted(row.tobytes() for row in x)
    assert signed.preprocess == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32, np.uint16])
def test_wider_numbers_are_scaled_by_the_training_part(tmp_path: Path, dtype: type) -> None:
    x = (np.abs(RNG.normal(0, 300, (100, 5))) * np.arange(1, 101)[:, None]).astype(dtype)
    dataset = make(tmp_path, x=x, y=Y)
    step = dataset.preprocess[0].parameters["by"]
    assert np.abs(dataset.train.x).max() == 127
    expected = np.clip(np.rint(x / np.float64(step)), -127, 127).astype(np.int8)
    assert rows(dataset) == sorted(row.tobytes() for row in expected)
    real = (dataset.train.x - float(dataset.input.zero_point)) * dataset.input.scale
    assert abs(real.std() - 1) < 1e-6
    assert dataset.input.zero_point == 0


def test_the_test_part_has_no_say_in_the_range(tmp_path: Path) -> None:
    x = np.concatenate([np.arange(1.0, 101.0)[:, None], RNG.normal(0, 20, (100, 3))], axis=1)
    steps = set()
    for seed in range(8):
        dataset = make(tmp_path, ArraysConfig(seed=seed), x=x, y=Y)
        assert np.abs(dataset.train.x).max() == 127
        steps.add(dataset.preprocess[0].parameters["by"])
    assert min(steps) < 100 / 127  # row 100 was not in every training part


def test_text_labels_and_sparse_numbers_become_classes(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (100, 8), np.uint8)
    assert make(tmp_path, x=x, y=np.array(["b", "a"])[Y % 2]).classes == ("a", "b")
    assert make(tmp_path, x=x, y=np.array([-5, 70, 9])[Y]).classes == ("-5", "9", "70")


def test_channels_last_is_moved(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (100, 20, 3), np.uint8)
    dataset = make(tmp_path, ArraysConfig(channels_last=True), x=x, y=Y)
    assert dataset.input.shape == (3, 20)
    assert rows(dataset) == sorted((row.T.astype(int) - 128).astype(np.int8).tobytes() for row in x)


@pytest.mark.parametrize("key", ["group", "subject"])
def test_groups_stay_together(tmp_path: Path, key: str) -> None:
    group = np.repeat(np.arange(20), 5)
    x = np.stack([group, np.arange(100)], axis=1).astype(np.uint8)
    dataset = make(tmp_path, x=x, y=Y, **{key: group})
    owners = [set(split.x[:, 0].tolist()) for split in (dataset.train, dataset.val, dataset.test)]
    assert not owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2]
    assert len(owners[0] | owners[1] | owners[2]) == 20


@pytest.mark.parametrize("own_validation", [False, True])
def test_splits_made_beforehand_are_kept(tmp_path: Path, own_validation: bool) -> None:
    x = RNG.integers(0, 256, (100, 8), np.uint8)
    parts = {"x_train": x[:70], "y_train": Y[:70], "x_test": x[80:], "y_test": Y[80:]}
    if own_validation:
        parts |= {"x_val": x[70:80], "y_val": Y[70:80]}
    dataset = make(tmp_path, **parts)
    assert dataset.counts == {"train": 70 if own_validation else 56, "val": 10 if own_validation else 14, "test": 20}
    np.testing.assert_array_equal(dataset.test.x, (x[80:].astype(int) - 128))


def test_weights_metric_and_seed(tmp_path: Path) -> None:
    x, y = RNG.integers(0, 256, (100, 8), np.uint8), (np.arange(100) < 20).astype(int)
    dataset = make(tmp_path, ArraysConfig(metric="balanced_accuracy", class_weights="balanced"), x=x, y=y)
    assert dataset.metric == "balanced_accuracy"
    np.testing.assert_allclose(dataset.class_weights, [0.625, 2.5])
    assert make(tmp_path, ArraysConfig(seed=1), x=x, y=y).digest() != make(tmp_path, x=x, y=y).digest()


def test_noise_stands_in_for_private_rows(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (100, 8), np.uint8)
    private = make(tmp_path, x=x, y=Y)
    assert private.stand_ins is not None
    assert len(private.stand_ins) >= 1_000
    assert make(tmp_path, ArraysConfig(redistributable=True), x=x, y=Y).stand_ins is None


X = RNG.normal(0, 1, (100, 3, 4))


def spoiled(value: float) -> np.ndarray:
    x = X.copy()
    x[7, 1, 2] = x[9] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": Y}, "holds no 'x'; found: y"),
        ({"x": X}, "holds no 'y'"),
        ({"x": X, "y": Y[:-1]}, r"'y' is int64 \(99,\); expected integers or text, \(100,\)"),
        ({"x": X, "y": Y.astype(float)}, "'y' is float64"),
        ({"x": X, "y": np.eye(3)[Y].astype(int)}, r"'y' is int64 \(100, 3\)"),
        ({"x": X[:, 0, 0], "y": Y}, r"'x' is float64 \(100,\)"),
        ({"x": X.astype(complex), "y": Y}, "'x' is of type complex128"),
        ({"x": spoiled(np.nan), "y": Y}, "2 of 100 rows of 'x' hold NaN or infinity, the first is row 7"),
        ({"x": spoiled(-np.inf), "y": Y}, "2 of 100 rows of 'x' hold NaN or infinity, the first is row 7"),
        ({"x": X, "y": Y * 0}, "all 100 rows are of class '0'"),
        ({"x": X[:4], "y": np.array([0, 0, 0, 1])}, "too few rows .* class '1' has 1"),
        ({"x": X[:6], "y": Y[:6]}, "too few rows"),
        ({"x": X * 0 + 3, "y": Y}, "every value of the training rows is 3.0"),
        (
            {"x": np.tile(X[:50], (2, 1, 1)), "y": Y},
            r"leak: \d+ of 20 val rows are in training too, the first is row \d+",
        ),
        ({"x": X, "y": Y, "group": np.zeros(100, int)}, "1 groups cannot give 20%"),
        ({"x": X, "y": Y, "group": np.zeros(5, int)}, r"'group' is int64 \(5,\)"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, "the splits must agree"),
        ({"x_train": X, "y_train": Y}, "holds no 'x_test'"),
        (
            {"x_train": X[:60], "y_train": Y[:60] % 2, "x_test": X[60:], "y_test": Y[60:]},
            "class '2' has no row in training",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        make(tmp_path, **arrays)


def test_duplicates_are_noted_where_allowed(tmp_path: Path) -> None:
    dataset = make(tmp_path, ArraysConfig(duplicates="allow"), x=np.tile(X[:50], (2, 1, 1)), y=Y)
    assert any("leak" in note for note in dataset.notes)


def test_groups_keep_duplicates_on_one_side(tmp_path: Path) -> None:
    make(tmp_path, x=np.tile(X[:50], (2, 1, 1)), y=Y, group=np.tile(np.arange(50), 2))


def test_constant_channels_are_noted(tmp_path: Path) -> None:
    x = X.copy()
    x[:, 1] = 0.5
    assert "channel 1 is constant in training" in make(tmp_path, x=x, y=Y).notes


def test_paths_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.path: name the \.npz file"):
        load(ArraysConfig())
    with pytest.raises(
        DataError,
        match=r"nothing at .*none\.npz; correct data\.path, or save the arrays with \S+ x=\.\.\., y=\.\.\.\)\.$",
    ):
        load(ArraysConfig(path=str(tmp_path / "none.npz")))
    with pytest.raises(ConfigError, match=r"must be at most 0\.9"):
        load(ArraysConfig(path="x", val_fraction=0.6, test_fraction=0.5))
