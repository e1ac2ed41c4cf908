"""Elements picked at regular distances: a slice, a transpose, a step of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops.base import Op, Values
from bitq.ir.ops.rules import keeps_type, one_input, reads_bytes, rule
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class View(Op):
    """``y[i, j, …] = x[offset + i · strides[0] + j · strides[1] + …]`` over the flat (channels-last) input.

    Attributes:
        offset: of the first element.
        strides: one per dimension of the output; any sign.
    """

    offset: int
    strides: tuple[int, ...]

    @property
    def index(self) -> NDArray[np.int64]:
        """Return for every element of the output where it is in the flat input."""
        places = np.indices(self.out.shape).reshape(len(self.out.shape), -1)
        return self.offset + np.array(self.strides) @ places

    def check(self, *inputs: TensorType) -> None:
        """It stays within its input."""
        x = one_input(self, inputs)
        reads_bytes(self, inputs)
        keeps_type(self, inputs)
        rule(self.out.size <= x.size, self.name, f"it gives no more than the {x.size} elements that it reads")
        dimensions = len(self.out.shape)
        rule(len(self.strides) == dimensions, self.name, f"{dimensions} strides, got {len(self.strides)}")
        reach = [(size - 1) * stride for size, stride in zip(self.out.shape, self.strides, strict=True)]
        first, last = self.offset + sum(min(0, r) for r in reach), self.offset + sum(max(0, r) for r in reach)
        rule(0 <= first <= last < x.size, self.name, f"it reads elements {first} to {last} of {x.size}")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """Whatever it is declared to be: strides say what that means."""
        return self.out.shape

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        flat = inputs[0].reshape(len(inputs[0]), -1)
        return flat[:, self.index].reshape(len(flat), *self.out.shape)
