"""A full-integer program: its input, its operations in order, its outputs."""

from __future__ import annotations

from dataclasses import dataclass

from bitq.ir.ops import Op
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False)
class Graph:
    """Operations in execution order.

    Attributes:
        name: a C identifier; prefix of every symbol of the generated code.
        input: type of the caller's input; INT8, or INT16 for trees.
        input_name: name of the value that the first operation reads.
        ops: each reads values made before it.
        outputs: names of the values that are handed to the caller, INT32, one after the other.
        winner: name of the `ArgMax` whose result the entry point returns, or None.
    """

    name: str
    input: TensorType
    ops: tuple[Op, ...]
    outputs: tuple[str, ...]
    winner: str | None = None
    input_name: str = "input"

    def types(self) -> dict[str, TensorType]:
        """Return the type of every value, the input included."""
        return {self.input_name: self.input, **{op.name: op.out for op in self.ops}}
