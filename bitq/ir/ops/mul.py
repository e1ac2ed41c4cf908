"""The product of two branches: a gate, or a square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.ops.base import Accumulator, Op, Values
from bitq.ir.ops.rules import reads_bytes, rescales, rule
from bitq.ir.types import Rescale, TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Mul(Op):
    """``acc = (a − zero_point(a)) · (b − zero_point(b))``, then `rescale`.

    ``b`` has the shape of ``a``, or is one value per channel for all places, one per place for all channels, or one.

    Attributes:
        rescale: with one multiplier for all channels.
    """

    rescale: Rescale

    def check(self, *inputs: TensorType) -> None:
        """Two 8-bit values whose shapes go together."""
        rule(len(inputs) == 2, self.name, f"two inputs, got {len(inputs)}")
        a, b = inputs[0].shape, inputs[1].shape
        forms = {a, (*[1] * (len(a) - 1), a[-1]), (*a[:-1], 1), (1,) * len(a)}
        rule(
            b in forms,
            self.name,
            f"{b} goes with {a}: the same shape, one per channel, or one per place",
        )
        rule(not self.rescale.per_channel, self.name, "one multiplier for all channels of a product")
        reads_bytes(self, inputs)
        rescales(self, self.rescale)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """The shape of the first."""
        return inputs[0].shape

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """The products of both ends."""
        (a, b), (c, d) = ((x.dtype.low - x.zero_point, x.dtype.high - x.zero_point) for x in inputs)
        ends = np.array([a * c, a * d, b * c, b * d, 0])
        return (Accumulator(ends.min(keepdims=True), ends.max(keepdims=True), self.rescale),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        a, b = (x - kind.zero_point for x, kind in zip(inputs, types, strict=True))
        return self.rescale.apply(a * b)
