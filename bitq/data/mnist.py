"""MNIST from the original IDX files: 55,000 rows to train, 5,000 to validate, 10,000 to test.

Normalization is folded into the integers: int8 = pixel − 128, and a step and zero point that give the usual
mean 0.1307 and standard deviation 0.3081 of pixels in 0..1.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError
from bitq.data.config import MnistConfig
from bitq.data.dataset import Dataset, InputSpec, Split, Step
from bitq.data.idx import read_idx
from bitq.data.root import data_root, missing
from bitq.data.splits import stratified_subset

VALIDATION_ROWS = 5_000
"""The last rows of the training file validate: a fixed rule, so that figures compare between runs."""


_STEPS = {
    28: (),
    24: (Step("crop", {"top": 2, "left": 2, "side": 24}),),
    16: (Step("pad", {"each_side": 2, "value": 0}), Step("mean", {"block": 2, "ties": "up"})),
}
"""What comes before the offset, by side."""


def mnist(config: MnistConfig) -> Dataset:
    """Read MNIST.

    Raises:
        DataError: a file is missing, damaged, or does not fit its partner.
    """
    folder = data_root(config.root) / "mnist"
    checksums = {file.name: file.sha256 for file in config.files}
    rest = _read(folder, "train", 60_000, checksums)
    test = _read(folder, "t10k", 10_000, checksums)
    rest, test = (Split(resized(part.x, config.side), part.y) for part in (rest, test))
    cut = len(rest) - VALIDATION_ROWS
    train, val = rest.take(np.arange(cut)), rest.take(np.arange(cut, len(rest)))
    notes: list[str] = []
    if config.train_on_validation:
        train = rest
        notes.append("training includes the validation rows: validation figures are no estimate")
    dataset = Dataset(
        name=config.name,
        source="idx",
        license="CC BY-SA 3.0 (Y. LeCun, C. Cortes)",
        redistributable=True,
        classes=tuple("0123456789"),
        input=InputSpec((1, config.side, config.side), 1 / (255 * 0.3081), 33 - 128),  # pixel 33 is 0.1307 of 255
        preprocess=(*_STEPS[config.side], Step("offset", {"add": -128})),
        train=train,
        val=val,
        test=test,
        metric="accuracy",
        class_weights=(1.0,) * 10,
        channels=("grey",),
    )
    if config.limit is None:
        return replace(dataset, notes=tuple(notes))
    parts = [
        part.take(stratified_subset(part.y, config.limit, config.seed + place))
        for place, part in enumerate((train, val, test))
    ]
    notes.append(f"limited to {config.limit:,} rows per split (data.limit): figures are no benchmark")
    return replace(dataset, train=parts[0], val=parts[1], test=parts[2], notes=tuple(notes))


def resized(x: NDArray[np.int8], side: int) -> NDArray[np.int8]:
    """Return images ``(n, 1, 28, 28)`` of offset pixels as ``(n, 1, side, side)``, in integer arithmetic."""
    if side == 28:
        return x
    if side == 24:
        return np.ascontiguousarray(x[:, :, 2:26, 2:26])
    padded = np.pad(x.astype(np.int16) + 128, ((0, 0), (0, 0), (2, 2), (2, 2)))
    sums = padded.reshape(len(x), 1, 16, 2, 16, 2).sum(axis=(3, 5))
    return (((sums + 2) >> 2) - 128).astype(np.int8)


def _read(folder: Path, part: str, rows: int, checksums: dict[str, str]) -> Split:
    images_path = _find(folder, f"{part}-images-idx3-ubyte")
    labels_path = _find(folder, f"{part}-labels-idx1-ubyte")
    images = read_idx(images_path, dimensions=3, sha256=checksums.get(images_path.name))
    labels = read_idx(labels_path, dimensions=1, sha256=checksums.get(labels_path.name))
    if images.dtype != np.uint8 or images.shape != (rows, 28, 28):
        raise DataError(f"{images_path}: holds {images.dtype} {images.shape}, expected uint8 ({rows}, 28, 28).")
    if labels.dtype != np.uint8 or len(labels) != rows:
        raise DataError(f"{labels_path}: {len(labels)} labels ({labels.dtype}) for {rows} images.")
    if labels.max() > 9:
        raise DataError(f"{labels_path}: row {int(labels.argmax())} has label {labels.max()}, allowed 0 to 9.")
    x = (images.astype(np.int16) - 128).astype(np.int8)[:, None]
    return Split(x, labels.astype(np.int64))


def _find(folder: Path, stem: str) -> Path:
    for path in (folder / f"{stem}.gz", folder / stem):
        if path.is_file():
            return path
    raise missing("mnist", folder / f"{stem}.gz", "Run `python -m bitq.data get mnist`")
