"""The same integers as a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitq.ir.ops.base import Op, Values
from bitq.ir.ops.rules import keeps_type, one_input
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Op):
    """The same integers in the same (channels-last) order as a vector."""

    def check(self, *inputs: TensorType) -> None:
        """It keeps the type of its input."""
        one_input(self, inputs)
        keeps_type(self, inputs)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """All elements in one dimension."""
        return (inputs[0].size,)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        return inputs[0].reshape(len(inputs[0]), -1)
