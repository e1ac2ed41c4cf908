"""What can print an operation as C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bitq.codegen.ops.layer import Layer, Operand, Place
from bitq.ir.ops import Op


def nothing(op: Op, inputs: Sequence[Operand]) -> int:
    """No scratch buffer."""
    return 0


def never(op: Op, inputs: Sequence[Operand]) -> bool:
    """Not in place."""
    return False


class Printer(NamedTuple):
    """How an operation is printed.

    Attributes:
        layer: its constants and its call.
        scratch: bytes of the buffer that it needs while it runs; the operands have no address yet.
        in_place: whether its result may begin where its first input begins, never written ahead of what is read.
    """

    layer: Callable[[Any, Place], Layer]
    scratch: Callable[[Any, Sequence[Operand]], int] = nothing
    in_place: Callable[[Any, Sequence[Operand]], bool] = never
