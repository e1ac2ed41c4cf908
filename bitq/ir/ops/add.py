"""The sum or the difference of two branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.ops.base import Accumulator, Op, Pair, Values
from bitq.ir.ops.rules import reads_bytes, rescales, rule
from bitq.ir.types import Rescale, TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Op):
    """``acc = Σ (x − zero_point(x)) · multiplier`` over two inputs of one shape, then `rescale` to the output.

    Attributes:
        multipliers: one per input, each in ±1..±32767; they bring both to a common scale; negative ones subtract.
        rescale: with one multiplier for all channels, 1 as a rule.
    """

    multipliers: Pair
    rescale: Rescale

    def check(self, *inputs: TensorType) -> None:
        """Two 8-bit values of one shape."""
        rule(len(inputs) == 2, self.name, f"two inputs, got {len(inputs)}")
        rule(inputs[0].shape == inputs[1].shape, self.name, "its inputs have one shape")
        rule(not self.rescale.per_channel, self.name, "one multiplier for all channels of a sum")
        sizes = [abs(multiplier) for multiplier in self.multipliers]
        rule(1 <= min(sizes) <= max(sizes) <= 32767, self.name, "multipliers are ±1..±32767")
        reads_bytes(self, inputs)
        rescales(self, self.rescale)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """The shape of both."""
        return inputs[0].shape

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """Both terms at their worst."""
        ends = [
            sorted(((x.dtype.low - x.zero_point) * multiplier, (x.dtype.high - x.zero_point) * multiplier))
            for x, multiplier in zip(inputs, self.multipliers, strict=True)
        ]
        return (Accumulator(np.array([ends[0][0] + ends[1][0]]), np.array([ends[0][1] + ends[1][1]]), self.rescale),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        terms = [(x - kind.zero_point) * m for x, kind, m in zip(inputs, types, self.multipliers, strict=True)]
        return self.rescale.apply(terms[0] + terms[1])
