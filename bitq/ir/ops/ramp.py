"""Two straight lines that meet at zero, with an offset and a clamp: leaky and hard activations, per channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops.base import Accumulator, Op, Values
from bitq.ir.ops.rules import one_input, reads_bytes, rescales, rule
from bitq.ir.types import Rescale, TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Ramp(Op):
    """``acc = v · (positive if v ≥ 0 else negative) + offset`` with ``v = x − zero_point(x)``, then `rescale`.

    Attributes:
        positive: int16 ``(channels,)`` or ``(1,)``; any sign.
        negative: int16, as long.
        offset: int32, as long.
        rescale: with one multiplier for all channels, 1 as a rule.
    """

    positive: NDArray[np.int16]
    negative: NDArray[np.int16]
    offset: NDArray[np.int32]
    rescale: Rescale

    def check(self, *inputs: TensorType) -> None:
        """Slopes and offsets for every channel or one for all."""
        x = one_input(self, inputs)
        reads_bytes(self, inputs)
        shapes = {self.positive.shape, self.negative.shape, self.offset.shape}
        fits = len(shapes) == 1 and shapes <= {(1,), (x.shape[-1],)}
        rule(fits, self.name, f"slopes and offsets are 1 or {x.shape[-1]} each, got {sorted(shapes)}")
        rule(not self.rescale.per_channel, self.name, "one multiplier for all channels")
        rescales(self, self.rescale)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """The shape of its input."""
        return inputs[0].shape

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """Both ends and the kink, each with the offset and without."""
        low, high = inputs[0].dtype.low - inputs[0].zero_point, inputs[0].dtype.high - inputs[0].zero_point
        ends = [low * self.negative.astype(np.int64), high * self.positive.astype(np.int64)]
        offset = self.offset.astype(np.int64)
        least, most = np.minimum(np.minimum(*ends), 0), np.maximum(np.maximum(*ends), 0)
        return (Accumulator(least + np.minimum(offset, 0), most + np.maximum(offset, 0), self.rescale),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        v = inputs[0] - types[0].zero_point
        slope = np.where(v >= 0, self.positive, self.negative).astype(np.int64)
        return self.rescale.apply(v * slope + self.offset.astype(np.int64))
