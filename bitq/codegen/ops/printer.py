"""What can print an operation as C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bitq.codegen.constants import Constant
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


def by_core(with_dsp: Printer, without: Printer) -> Printer:
    """Print both of two forms; the compiler takes the first one for cores with the DSP extension."""

    def layer(op: Op, at: Place) -> Layer:
        first, second = with_dsp.layer(op, at), without.layer(op, at)
        texts = ["".join(constant.text for constant in form.constants) for form in (first, second)]
        code = Constant(f"{at.symbol}_code", _either(*texts), first.flash_bytes)
        call = _either(f"    {first.call}\n", f"    {second.call}\n").strip()
        return Layer(op, (code,), call, (*first.runtime, *second.runtime))

    def scratch(op: Op, inputs: Sequence[Operand]) -> int:
        return max(with_dsp.scratch(op, inputs), without.scratch(op, inputs))

    def in_place(op: Op, inputs: Sequence[Operand]) -> bool:
        return with_dsp.in_place(op, inputs) and without.in_place(op, inputs)

    return Printer(layer, scratch, in_place)


def _either(with_dsp: str, without: str) -> str:
    return f"#if defined(__ARM_FEATURE_DSP)\n{with_dsp}#else\n{without}#endif\n"
