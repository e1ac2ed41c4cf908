"""Max pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.ops.base import NO_PADDING, Op, Pair, Values
from bitq.ir.ops.rules import keeps_type, one_input, reads_bytes
from bitq.ir.ops.windows import slide, windows
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Op):
    """Largest value of each window, channel by channel; padding never wins."""

    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair] = NO_PADDING

    def check(self, *inputs: TensorType) -> None:
        """It reads 8-bit values and keeps their type."""
        one_input(self, inputs)
        reads_bytes(self, inputs)
        keeps_type(self, inputs)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """One place per window."""
        return (*slide(self, inputs[0], self.kernel, self.stride, self.padding), inputs[0].shape[2])

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        x = np.pad(inputs[0], ((0, 0), *self.padding, (0, 0)), constant_values=types[0].dtype.low)
        return windows(x, self.kernel, self.stride).max(axis=(3, 4))
