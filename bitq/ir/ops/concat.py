"""Branches side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.ops.base import Op, Values
from bitq.ir.ops.rules import keeps_type, reads_bytes, rule
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Op):
    """The channels of two or more inputs of one type, one input after the other at each place."""

    def check(self, *inputs: TensorType) -> None:
        """8-bit values of one type with the same places."""
        rule(len(inputs) >= 2, self.name, f"two inputs or more, got {len(inputs)}")
        rule(len({x.shape[:-1] for x in inputs}) == 1, self.name, "its inputs have the same places")
        reads_bytes(self, inputs)
        keeps_type(self, inputs)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """The channels of all together."""
        return (*inputs[0].shape[:-1], sum(x.shape[-1] for x in inputs))

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        return np.concatenate(inputs, axis=-1)
