"""What the ``y`` of anybody's arrays means for each task: classes, normal rows and anomalies, or real targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError
from bitq.data.config import ArraysConfig

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels or targets of all rows.

    Attributes:
        y: int64 ``(n,)``, or float32 ``(n, targets)`` for a regression.
        classes: a name per label; none for a regression.
        strata: int64 ``(n,)``, what every split should hold in equal shares; the same for all rows of a regression.
        may_train: bool ``(n,)``, rows that a network may learn from.
    """

    y: Array
    classes: tuple[str, ...]
    strata: NDArray[np.int64]
    may_train: NDArray[np.bool_]


def check(path: Path, key: str, y: Array, rows: int, task: str) -> None:
    """Refuse labels that cannot be what the task needs.

    Raises:
        DataError: type or shape is another one, or a target is not finite.
    """
    kinds, shapes, expected = "iuU", [(rows,)], f"integers or text, ({rows},): one label per row"
    if task == "regression":
        kinds, shapes = "iuf", [(rows,), (rows, *y.shape[1:2])]
        expected = f"numbers, ({rows},) or ({rows}, targets)"
    if y.dtype.kind not in kinds or y.shape not in shapes or y.size == 0:
        raise DataError(f"{path}: '{key}' is {y.dtype} {y.shape}; expected {expected}.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y).reshape(rows, -1).all(axis=1)))
        raise DataError(f"{path}: '{key}' holds NaN or infinity, first in row {row}; repair or drop such rows.")


def classification(path: Path, y: Array, config: ArraysConfig) -> Labels:
    """Number the classes in the order of their names."""
    names, labels = np.unique(y, return_inverse=True)
    labels = labels.astype(np.int64)
    return Labels(labels, tuple(str(name) for name in names), labels, np.ones(len(y), bool))


def regression(path: Path, y: Array, config: ArraysConfig) -> Labels:
    """Take the numbers as they are."""
    targets = y.reshape(len(y), -1).astype(np.float32)
    return Labels(targets, (), np.zeros(len(y), np.int64), np.ones(len(y), bool))


def anomaly(path: Path, y: Array, config: ArraysConfig) -> Labels:
    """Label normal rows 0 and all others 1.

    Raises:
        DataError: one of the two kinds is not there.
    """
    labels = (y.astype(str) != config.normal).astype(np.int64)
    if len(np.unique(labels)) < 2:
        found = ", ".join(str(name) for name in np.unique(y)[:8])
        raise DataError(
            f"{path}: normal rows and others are needed, and normal is '{config.normal}'; 'y' holds {found}. "
            "Correct data.normal."
        )
    return Labels(labels, ("normal", "anomaly"), labels, labels == 0)


MEANING: dict[str, Callable[[Path, Array, ArraysConfig], Labels]] = {
    "classification": classification,
    "regression": regression,
    "anomaly": anomaly,
}
"""By the task in the config."""
