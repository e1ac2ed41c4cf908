"""The same integers in another shape; nothing moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bitq.ir.ops.base import Op, Values
from bitq.ir.ops.rules import keeps_type, one_input, rule
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Op):
    """The same integers in the same (channels-last) order in the shape of ``out``."""

    def check(self, *inputs: TensorType) -> None:
        """It keeps the type and the number of elements of its input."""
        x = one_input(self, inputs)
        keeps_type(self, inputs)
        rule(math.prod(self.out.shape) == x.size, self.name, f"its {x.size} elements fill {self.out.shape}")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """Whatever it is declared to be."""
        return self.out.shape

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        return inputs[0].reshape(len(inputs[0]), *self.out.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Reshape):
    """The same integers in the same (channels-last) order as a vector."""

    def check(self, *inputs: TensorType) -> None:
        """It keeps the type of its input."""
        one_input(self, inputs)
        keeps_type(self, inputs)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """All elements in one dimension."""
        return (inputs[0].size,)
