"""A convolution whose weights are code and whose windows are small: its inputs are read where they lie.

It computes two places at once, in the halves of 32-bit words, as `pairs` does, but packs no rows: a window without
padding is at the same distances everywhere. The padding that a change of scale before it can write is part of its
input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitq.codegen.constants import Constant
from bitq.codegen.ops import pairs
from bitq.codegen.ops.groups import columns_of
from bitq.codegen.ops.layer import Layer, Place, byte_zero
from bitq.codegen.ops.pool import halves
from bitq.codegen.ops.pooled import PooledConv
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.straight import bucket_lines, finished, out_type, scaled
from bitq.ir.ops import NO_PADDING, Conv, Op, Pair, Requantize
from bitq.ir.types import TensorType

_INPUTS = 16  # of a window, at most: they should stay in registers


@dataclass(frozen=True, eq=False, kw_only=True)
class BorderedRequantize(Requantize):
    """A change of scale whose result has the padding of the convolution behind it around it.

    Attributes:
        border: ``((top, bottom), (left, right))``.
    """

    border: tuple[Pair, Pair]


def covers(op: Conv) -> bool:
    """Whether a convolution has this form."""
    small = op.weights.matrix.shape[1] <= _INPUTS and op.kernel[0] > 1
    return small and op.padding == NO_PADDING and not isinstance(op, PooledConv) and pairs.covers(op)


def takes_border(op: Requantize, x: TensorType) -> bool:
    """Whether a change of scale can write a border: it halves bytes, and they are an image."""
    return halves(op, x) and len(op.out.shape) == 3


def conv(op: Conv, at: Place) -> Layer:
    """Print a function for two places and one that calls it for all of them."""
    x = at.inputs[0]
    width, channels = op.out.shape[1], op.weights.codes.shape[3]
    row, inputs, kind = x.type.shape[1] * channels, op.weights.matrix.shape[1], out_type(op)
    stride, outputs, distance, count = op.stride[1] * channels, len(op.bias), width // 2, -(-width // 2)
    together = 2 if outputs % 2 == 0 else 1
    tables, finish = finished(op, at.symbol, x.zero, pairs.store(op, at.symbol, together), together)
    span = op.kernel[1] * channels
    taps = [row * (k // span) + k % span for k in range(inputs)]
    flip = f" ^ {x.flip * 0x10001:#x}u" if x.flip else ""
    used = op.weights.codes.any()
    words = [f"    bitq_two(x{f' + {tap}' if tap else ''}, {stride * distance}){flip}," for tap in taps]
    second = distance * outputs
    skipped = {"x": op.stride[0] * row - count * stride, "y": (width - count) * outputs}
    lines = [
        *scaled(op, at.symbol),
        f"BITQ_APART void {at.symbol}_code(const uint8_t *x, {kind} *y, {kind} *z)",
        "{",
        f"    uint32_t totals[{len(columns_of(op.weights)[1])}];",
        *(f"    {line}" for line in [f"const uint32_t x0[{inputs}] = {{", *words, "};"] if used),
        *([] if used else ["    (void)x;"]),
        *(f"    {line}" for line in bucket_lines(op.weights, np.arange(inputs), inputs, "uint32_t", "totals")),
        *(f"    {line}" for line in finish),
        "}",
        "",
        f"static void {at.symbol}_rows(const uint8_t *x, {kind} *y)",
        "{",
        f"    for (uint32_t rows = {op.out.shape[0]}; rows != 0u; --rows) {{",
        f"        for (uint32_t left = {count}; left != 0u; --left) {{",
        f"            {at.symbol}_code(x, y, y{f' + {second}' if second else ''});",
        f"            x += {stride};",
        f"            y += {outputs};",
        "        }",
        *(f"        {name} += {step};" for name, step in skipped.items() if step),
        "    }",
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    return Layer(op, (*tables, code), f"{at.symbol}_rows({x.expression}, {at.y});", ())


CONV = Printer(conv)


def bordered(op: BorderedRequantize, at: Place) -> Layer:
    """Print a function that halves the rows of an image, with zeros around them."""
    x = at.inputs[0]
    (top, _), (left, _) = op.border
    height, width, channels = x.type.shape
    length, row = width * channels, op.out.shape[1] * channels
    before = top * row + left * channels
    lines = [
        f"static void {at.symbol}_code(const uint8_t *x, uint8_t *y)",
        "{",
        *_zeros(op, before),
        f"    for (uint32_t rows = {height}; rows != 0u; --rows) {{",
        f"        bitq_halve(x, {x.flip}, y, {length});",
        f"        x += {length};",
        f"        y += {length};",
        *(f"    {line}" for line in _zeros(op, row - length)),
        "    }",
        *_zeros(op, op.out.size - before - height * row),
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    return Layer(op, (code,), f"{code.name}({x.expression}, {at.y});", ("bitq_halve",))


def _zeros(op: Op, count: int) -> list[str]:
    """Print the bytes that stand for 0 of a part of the border."""
    zero = f"*y++ = {byte_zero(op.out)};"
    if count <= 2:
        return [f"    {zero}"] * count
    return [f"    for (uint32_t left = {count}; left != 0u; --left) {{", f"        {zero}", "    }"]


BORDERED = Printer(bordered)
