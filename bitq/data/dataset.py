"""What every dataset delivers: integer inputs exactly as the chip will see them, in three splits.

Networks train on ``(x - zero_point) * scale`` of the very integers that the firmware reads, so normalization
is folded into the input and quantizing it costs nothing.
"""

from __future__ import annotations

import hashlib
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
    """

    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Split:
    """Inputs ``x``, int8 ``(n, *shape)``, and labels ``y``, int64 ``(n,)``, of one part of the data."""

    x: NDArray[np.int8]
    y: NDArray[np.int64]

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
        classes: a name per label, label 0 first.
        input: integer encoding of the inputs.
        preprocess: ordered steps from raw data to the integer input.
        train, val, test: the splits; selection looks at ``val`` only, ``test`` is read once at the end.
        metric: ``accuracy`` or ``balanced_accuracy``.
        class_weights: one weight per class for the training loss.
        stand_ins: rows to publish in place of test rows where the data must not be redistributed.
        notes: lines for the screen and the report (what was simulated, left out, limited).
        rate_hz, channels, units: the sensor, where there is one.
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
            if split.y.min() < 0 or split.y.max() >= len(self.classes):
                raise DataError(
                    f"data {self.name}: {name} labels reach from {split.y.min()} to {split.y.max()}, "
                    f"allowed 0 to {len(self.classes) - 1}."
                )
            if len(np.unique(split.y)) < 2:
                raise DataError(f"data {self.name}: the {name} split holds a single class.")

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
