"""Average pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.ops.base import NO_PADDING, Accumulator, Op, Pair, Values
from bitq.ir.ops.rules import one_input, reads_bytes, rescales
from bitq.ir.ops.windows import slide, windows
from bitq.ir.types import Rescale, TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class AvgPool(Op):
    """``acc = Σ (x − zero_point(x))`` over each window, then `rescale`, which holds the division."""

    kernel: Pair
    stride: Pair
    rescale: Rescale

    def check(self, *inputs: TensorType) -> None:
        """It reads 8-bit values."""
        one_input(self, inputs)
        reads_bytes(self, inputs)
        rescales(self, self.rescale)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """One place per window."""
        return (*slide(self, inputs[0], self.kernel, self.stride, NO_PADDING), inputs[0].shape[2])

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """As many terms as the window has places."""
        x, terms = inputs[0], self.kernel[0] * self.kernel[1]
        low, high = terms * (x.dtype.low - x.zero_point), terms * (x.dtype.high - x.zero_point)
        return (Accumulator(np.array([min(0, low)]), np.array([max(0, high)]), self.rescale),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        x = inputs[0] - types[0].zero_point
        return self.rescale.apply(windows(x, self.kernel, self.stride).sum(axis=(3, 4)))
