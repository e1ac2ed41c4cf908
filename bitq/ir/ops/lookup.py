"""Any function of one 8-bit value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops.base import Op, Values
from bitq.ir.ops.rules import one_input, reads_bytes, rule
from bitq.ir.types import BYTES, TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Lookup(Op):
    """``y = table[x − low]``, element by element, where ``low`` is the least integer of the input's type.

    Attributes:
        table: int16 ``(256,)``, each within the 8-bit type of the output.
    """

    table: NDArray[np.int16]

    def check(self, *inputs: TensorType) -> None:
        """256 integers of an 8-bit type."""
        one_input(self, inputs)
        reads_bytes(self, inputs)
        rule(self.out.dtype in BYTES, self.name, f"it gives 8-bit values, declared {self.out.dtype.name}")
        rule(self.table.shape == (256,), self.name, f"its table has 256 entries, got {self.table.shape}")
        rule(self.out.dtype.allows(self.table), self.name, f"its table holds integers of {self.out.dtype.name}")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """The shape of its input."""
        return inputs[0].shape

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        return self.table[inputs[0] - types[0].dtype.low].astype(np.int64)
