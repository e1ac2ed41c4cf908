"""A change of scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.ops.base import Accumulator, Op, Values
from bitq.ir.ops.rules import one_input, reads_bytes, rescales
from bitq.ir.types import Rescale, TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Requantize(Op):
    """``acc = x − zero_point(x)``, then `rescale`: a change of scale, or a ReLU on its own."""

    rescale: Rescale

    def check(self, *inputs: TensorType) -> None:
        """It reads 8-bit values."""
        one_input(self, inputs)
        reads_bytes(self, inputs)
        rescales(self, self.rescale)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """The shape of its input."""
        return inputs[0].shape

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """One term."""
        low, high = inputs[0].dtype.low - inputs[0].zero_point, inputs[0].dtype.high - inputs[0].zero_point
        return (Accumulator(np.array([min(0, low)]), np.array([max(0, high)]), self.rescale),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        return self.rescale.apply(inputs[0] - types[0].zero_point)
