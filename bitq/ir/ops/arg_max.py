"""The index of the largest element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitq.ir.ops.base import Op, Values
from bitq.ir.ops.rules import one_input, rule
from bitq.ir.types import INT16, INT32, TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class ArgMax(Op):
    """Index of the largest element as INT32 ``(1,)``; the lowest index wins a tie."""

    def check(self, *inputs: TensorType) -> None:
        """Its result is an index, of one of 8 or 32 bits."""
        x = one_input(self, inputs)
        rule(x.dtype is not INT16, self.name, "it reads 8-bit activations or INT32, got INT16")
        rule(self.out.dtype is INT32, self.name, "an index is INT32")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """One index."""
        return (1,)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        return inputs[0].reshape(len(inputs[0]), -1).argmax(axis=1)[:, None]
