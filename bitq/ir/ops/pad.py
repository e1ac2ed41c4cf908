"""A border around an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.ops.base import Op, Pair, Values
from bitq.ir.ops.rules import keeps_type, one_input, reads_bytes, rule
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Op):
    """The input with rows and columns of one integer around it.

    Attributes:
        padding: ``((top, bottom), (left, right))``.
        value: the integer; the zero point stands for 0.0.
    """

    padding: tuple[Pair, Pair]
    value: int

    def check(self, *inputs: TensorType) -> None:
        """An image, and an integer of its type."""
        x = one_input(self, inputs)
        reads_bytes(self, inputs)
        keeps_type(self, inputs)
        rule(len(x.shape) == 3, self.name, f"its input is (height, width, channels), got {x.shape}")
        rule(min(*self.padding[0], *self.padding[1]) >= 0, self.name, f"padding is not negative, got {self.padding}")
        rule(x.dtype.low <= self.value <= x.dtype.high, self.name, f"its value lies within {x.dtype.name}")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """The input's, and the border."""
        height, width, channels = inputs[0].shape
        return (height + sum(self.padding[0]), width + sum(self.padding[1]), channels)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        return np.pad(inputs[0], ((0, 0), *self.padding, (0, 0)), constant_values=self.value)
