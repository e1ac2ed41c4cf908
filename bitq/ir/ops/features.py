"""Statistics of windows of a signal, as decision trees like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops.base import Op, Values
from bitq.ir.ops.rules import one_input, rule
from bitq.ir.types import INT8, INT16, TensorType

LONGEST = 128
KINDS = ("mean", "std", "rms", "min", "max", "range", "crossings", "difference")


@dataclass(frozen=True, eq=False, kw_only=True)
class Features(Op):
    """Statistics of the last windows of an INT8 signal ``(1, time, channels)``, as INT16.

    With n samples x of one channel in a window, and everything in whole numbers:

    - ``mean``: Σ x, which is n times the mean
    - ``std``: ⌊√(n Σ x² − (Σ x)²)⌋, n times the standard deviation
    - ``rms``: ⌊√(n Σ x²)⌋, n times the root of the mean energy
    - ``min``, ``max``, ``range``: the least, the largest, and what lies between
    - ``crossings``: how often the sign changes, 0 counting as positive
    - ``difference``: Σ |x_i − x_(i−1)|, n − 1 times the mean absolute difference

    each shifted to the left as far as INT16 surely holds it (`shifts`): trees care for the order of values alone, and
    their nodes keep more of a large number.

    Attributes:
        window: samples of one window, 2 to 128.
        windows: how many, one after the other, the last one ending with the signal.
        kinds: some of the above, in that order.
    """

    window: int
    windows: int
    kinds: tuple[str, ...] = KINDS

    @property
    def packed_bytes(self) -> int:
        """Bytes that say in C what is computed: four sizes of 16 bits, the kinds, their shifts, and the signs."""
        return 4 * 2 + 1 + len(KINDS) + 1

    @property
    def shifts(self) -> dict[str, int]:
        """Left shift of every kind."""
        sums = _room(128 * self.window)
        wide = {"mean": sums, "std": sums, "rms": sums, "min": 8, "max": 8, "range": 7}
        return {**wide, "crossings": _room(self.window - 1), "difference": _room(255 * (self.window - 1))}

    def check(self, *inputs: TensorType) -> None:
        """A signal that is long enough."""
        x = one_input(self, inputs)
        rule(x.dtype is INT8, self.name, f"it reads INT8, got {x.dtype.name}")
        rule(self.out.dtype is INT16, self.name, "its features are INT16")
        rule(len(x.shape) == 3 and x.shape[0] == 1, self.name, f"its input is (1, time, channels), got {x.shape}")
        fits = 2 <= self.window <= LONGEST and self.windows >= 1 and self.window * self.windows <= x.shape[1]
        size = f"{self.windows} windows of {self.window} samples"
        rule(fits, self.name, f"windows of 2 to {LONGEST} samples fit in {x.shape[1]}; got {size}")
        known = self.kinds == tuple(kind for kind in KINDS if kind in self.kinds) and len(self.kinds) > 0
        rule(known, self.name, f"its kinds are some of {', '.join(KINDS)}, in that order; got {self.kinds}")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """All kinds of the first channel of the first window come first, then the next channel."""
        return (self.windows * inputs[0].shape[2] * len(self.kinds),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        x = inputs[0][:, 0, inputs[0].shape[2] - self.window * self.windows :]
        x = x.reshape(len(x), self.windows, self.window, -1)
        n, total, energy = self.window, x.sum(axis=2), (x * x).sum(axis=2)
        found = {
            "mean": total,
            "std": root(n * energy - total * total),
            "rms": root(n * energy),
            "min": x.min(axis=2),
            "max": x.max(axis=2),
            "range": x.max(axis=2) - x.min(axis=2),
            "crossings": np.diff(x >= 0, axis=2).sum(axis=2),
            "difference": np.abs(np.diff(x, axis=2)).sum(axis=2),
        }
        columns = [found[kind] << self.shifts[kind] for kind in self.kinds]
        return np.stack(columns, axis=-1).reshape(len(x), -1)


def root(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ⌊√value⌋ exactly, for values below 2^52."""
    return np.floor(np.sqrt(values.astype(np.float64))).astype(np.int64)


def _room(most: int) -> int:
    """Return the bits that a magnitude leaves free in 15."""
    return 15 - most.bit_length()
