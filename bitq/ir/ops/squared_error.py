"""How far two values are apart: the reconstruction error of an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.ops.base import Accumulator, Op, Values
from bitq.ir.ops.rules import reads_bytes, rule
from bitq.ir.types import INT32, TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class SquaredError(Op):
    """``Σ (x − y)²`` over all elements of two inputs of one type, as INT32 ``(1,)``; only the order has to agree."""

    def check(self, *inputs: TensorType) -> None:
        """Two 8-bit values of one type and size, and a sum as it is."""
        rule(len(inputs) == 2, self.name, f"two inputs, got {len(inputs)}")
        rule(inputs[0].size == inputs[1].size, self.name, "its inputs have as many elements")
        reads_bytes(self, inputs)
        kinds = {(x.dtype.name, x.zero_point, x.scale) for x in inputs}
        rule(len(kinds) == 1, self.name, "its inputs have one type, scale and zero point")
        rule(self.out.dtype is INT32, self.name, "it gives INT32")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """One number."""
        return (1,)

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """Every element as far apart as its type allows."""
        most = inputs[0].size * (inputs[0].dtype.high - inputs[0].dtype.low) ** 2
        return (Accumulator(np.array([0]), np.array([most])),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        first, second = (x.reshape(len(x), -1) for x in inputs)
        return ((first - second) ** 2).sum(axis=1, keepdims=True)
