"""What every dataset delivers: integer inputs exactly as the chip will see them, in three splits.

Networks train on ``(x - zero_point) * scale`` of the very integers that the firmware reads, so normalization
is folded into the input and quantizing it costs nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError


@dataclass(frozen=True)
class InputSpec:
    """The integer input of a network.

    Attributes:
        shape: without the batch, in torch's order: ``(channels, time)``, ``(channels, height, width)`` or
            ``(features,)``.
        scale: real value of one integer step.
        zero_point: the integer that stands for 0.0, in −128..127.
        channels_last: whether ``shape`` is ``(time, channels)`` or ``(height, width, channels)`` instead.
    """

    shape: tuple[int, ...]
    scale: float
    zero_point: int
    channels_last: bool = False


def to_chip(x: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return inputs ``(n, *shape)`` in torch's order as the C entry point takes them: channels last."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if x.ndim > 2 else x


@dataclass(frozen=True)
class Split:
    """Inputs ``x``, int8 ``(n, *shape)``, and ``y`` of one part of the data.

    ``y`` is int64 ``(n,)``, a label per row; for a regression float32 ``(n, targets)``.
    """

    x: NDArray[np.int8]
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: NDArray[np.integer[Any]]) -> Split:
        """Return the rows at ``indices``."""
        return Split(self.x[indices], self.y[indices])


@dataclass(frozen=True)
class Step:
    """One step from raw sensor data to the integer input, for the manifest: a name and its parameters."""

    name: str
    parameters: Mapping[str, float | int | str] = field(default_factory=dict[str, float | int | str])


@dataclass(frozen=True)
class Dataset:
    """Three splits of one task, with all that a model card and a firmware need to know of their origin.

    Attributes:
        name: registry name.
        source: ``recordings``, ``simulated``, ``builtin``, ``idx`` or ``arrays``.
        license: what the data may be used for, in a few words.
        redistributable: whether samples may be put into a deploy folder.
        classes: a name per label, label 0 first; none for a regression.
        input: integer encoding of the inputs.
        preprocess: ordered steps from raw data to the integer input.
        train, val, test: the splits; selection looks at ``val`` only, ``test`` is read once at the end.
        metric: ``accuracy`` or ``balanced_accuracy`` of classes, ``mae`` of a regression, ``auc`` of anomalies.
        class_weights: one weight per class for the training loss.
        stand_ins: rows to publish in place of test rows where the data must not be redistributed.
        notes: lines for the screen and the report (what was simulated, left out, limited).
        rate_hz, channels, units: the sensor, where there is one.
        task: ``classification``; ``regression`` of real targets; or ``anomaly``, the detection of rows labelled 1 by
            a score, larger for what is less normal, of a model that trains on rows labelled 0 alone.
    """

    name: str
    source: str
    license: str
    redistributable: bool
    classes: tuple[str, ...]
    input: InputSpec
    preprocess: tuple[Step, ...]
    train: Split
    val: Split
    test: Split
    metric: str
    class_weights: tuple[float, ...]
    stand_ins: Split | None = None
    notes: tuple[str, ...] = ()
    rate_hz: float | None = None
    channels: tuple[str, ...] = ()
    units: str = ""
    task: str = "classification"

    def __post_init__(self) -> None:
        for name in ("train", "val", "test"):
            split: Split = getattr(self, name)
            if len(split) == 0:
                raise DataError(f"data {self.name}: the {name} split is empty; give it more recordings.")
            if split.x.shape[1:] != self.input.shape or len(split.x) != len(split.y):
                raise DataError(
                    f"data {self.name}: {name} holds x {split.x.shape} and y {split.y.shape}, "
                    f"expected x (n, {', '.join(map(str, self.input.shape))}) and y (n,)."
                )
            if self.task == "regression":
                self._check_targets(name, split)
            else:
                self._check_labels(name, split)

    def _check_labels(self, name: str, split: Split) -> None:
        if split.y.min() < 0 or split.y.max() >= len(self.classes):
            raise DataError(
                f"data {self.name}: {name} labels reach from {split.y.min()} to {split.y.max()}, "
                f"allowed 0 to {len(self.classes) - 1}."
            )
        only_normal = self.task == "anomaly" and name == "train"
        if only_normal and split.y.any():
            raise DataError(f"data {self.name}: the train split holds anomalies; only normal rows are learnt from.")
        if not only_normal and len(np.unique(split.y)) < 2:
            raise DataError(f"data {self.name}: the {name} split holds a single class.")

    def _check_targets(self, name: str, split: Split) -> None:
        if split.y.ndim != 2 or split.y.dtype != np.float32 or not np.isfinite(split.y).all():
            raise DataError(
                f"data {self.name}: {name} targets are {split.y.dtype} {split.y.shape}; "
                "expected finite float32 (n, targets)."
            )

    @property
    def outputs(self) -> int:
        """Outputs that a network for this task has: a score per class, a target each, or the whole input again."""
        if self.task == "regression":
            return self.train.y.shape[1]
        return math.prod(self.input.shape) if self.task == "anomaly" else len(self.classes)

    @property
    def target_mean(self) -> NDArray[np.float64]:
        """Mean of each target of a regression in training, ``(targets,)``."""
        return self.train.y.mean(axis=0, dtype=np.float64)

    @property
    def target_std(self) -> NDArray[np.float64]:
        """Standard deviation of each target in training, ``(targets,)``; 1 where it does not vary."""
        spread = self.train.y.std(axis=0, dtype=np.float64)
        return np.where(spread > 0, spread, 1.0)

    @property
    def counts(self) -> dict[str, int]:
        """Rows per split."""
        return {"train": len(self.train), "val": len(self.val), "test": len(self.test)}

    def digest(self) -> str:
        """Return a SHA-256 over the integers and labels of all splits: equal data, equal digest."""
        total = hashlib.sha256()
        for split in (self.train, self.val, self.test):
            total.update(np.ascontiguousarray(split.x).tobytes())
            total.update(np.ascontiguousarray(split.y).tobytes())
        return total.hexdigest()
