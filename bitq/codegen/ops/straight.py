"""Straight-line C for a small layer: its weights are the code, and no instruction is spent on unpacking them.

A convolution is computed at two places at once, in the halves of 32-bit words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import Constant, Fields, nested, struct
from bitq.codegen.ops.conv import is_grouped
from bitq.codegen.ops.groups import MOST_COLUMNS, Group, groups_of
from bitq.codegen.ops.layer import (
    UINT16_MAX,
    Layer,
    Operand,
    Place,
    byte_zero,
    out_bytes,
    relative_clamp,
    require,
    window_fields,
)
from bitq.codegen.ops.pooled import PooledConv
from bitq.codegen.ops.printer import Printer
from bitq.ir.ops import Conv, Dense
from bitq.ir.types import INT16, INT32, UINT8

_WIDTH = 112


def covers(op: Conv | Dense) -> bool:
    """Whether a layer has this form: each weight is a few signs, each output reads the whole window.

    A convolution's sums, of two places in one word, take 16 bits each.
    """
    if isinstance(op, Conv) and (is_grouped(op) or op.weights.matrix.shape[1] * UINT8.high > INT16.high):
        return False
    return op.weights.dtype.bits <= MOST_COLUMNS


def dense(op: Dense, at: Place, *, add: bool = False) -> Layer:
    """Print a dense layer: a function of its own, whose results are stored, or added to what is there."""
    x = at.inputs[0]
    zero = x.type.zero_point if x.flip else x.zero
    element = "int8_t" if x.flip else "uint8_t"
    lines = [
        *_finisher(op, at.symbol),
        f"static void {at.symbol}_code(const uint8_t *bytes, {_out_type(op)} *y)",
        "{",
        f"    const {element} *const x0 = (const {element} *)bytes;"
        if op.weights.codes.any()
        else "    (void)bytes;",
        *_body(op, at.symbol, zero, op.weights.matrix.shape[1], "+=" if add else "="),
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    return Layer(op, (code,), f"{code.name}({x.expression}, {at.y});", ())


def conv(op: Conv, at: Place) -> Layer:
    """Print a convolution without groups and gaps: a function for two places."""
    x = at.inputs[0]
    row = _row_words(op)
    used = sorted({int(k) // row for k in _offsets(op)[op.weights.matrix.any(axis=0)]})
    lines = [
        *_finisher(op, at.symbol),
        f"static void {at.symbol}_code(const uint32_t *x, void *first, void *second)",
        "{",
        *(f"    const uint32_t *const x{k} = x{f' + {k * row}' if k else ''};" for k in used),
        *([] if used else ["    (void)x;"]),
        f"    {_out_type(op)} *const y = first;",
        "    (void)second;" if _is_pooled(op) else f"    {_out_type(op)} *const z = second;",
        *_body(op, at.symbol, x.zero, row),
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    layer = struct(f"{at.symbol}_layer", "bitq_pairs", _pairs(op, x))
    call = f"bitq_conv_pairs(&{layer.name}, {code.name}, {x.expression}, {at.scratch}, {at.y});"
    return Layer(op, (code, layer), call, ("bitq_conv_pairs",))


def _pairs(op: Conv, x: Operand) -> Fields:
    channels, width = op.weights.codes.shape[3], op.out.shape[1]
    stride, step = op.stride[1] * channels, op.out.shape[2] * out_bytes(op)
    sizes: Fields = [
        ("count", _count(op)),
        ("apart", stride * _distance(op)),
        ("stride", stride * (2 if _is_pooled(op) else 1)),
        ("length", _row_words(op)),
        ("step", step),
        ("second", 0 if _is_pooled(op) else step * _distance(op)),
        ("skip", step * (width - _count(op))),
        ("gap", max(0, op.stride[0] - op.kernel[0])),
    ]
    largest = max(int(size) for _, size in sizes)
    require(op, largest <= UINT16_MAX, f"a step of {largest}", f"at most {UINT16_MAX}")
    window = nested(window_fields(op, x, op.kernel, op.stride, op.padding))
    return [("window", window), *sizes]


def scratch(op: Conv, inputs: Sequence[Operand]) -> int:
    """Room for the rows that a row of pairs reads, a word for two inputs."""
    return 4 * op.kernel[0] * _row_words(op)


def in_place(op: Conv, inputs: Sequence[Operand]) -> bool:
    """Whether each row of the output ends before the first input row that the next one reads."""
    _, width, channels = op.out.shape
    row = width * channels * out_bytes(op)
    read = inputs[0].type.shape[1] * inputs[0].type.shape[2]
    return all(n * row <= max(0, n * op.stride[0] - op.padding[0][0]) * read for n in range(1, op.out.shape[0]))


DENSE = Printer(dense)
CONV = Printer(conv, scratch, in_place)


def _is_pooled(op: Conv) -> bool:
    """Whether the two places of a pair are neighbours, of which the larger result is kept."""
    return isinstance(op, PooledConv)


def _count(op: Conv) -> int:
    """Return the pairs of a row; an odd place in its middle belongs to two."""
    width = op.out.shape[1]
    return width if _is_pooled(op) else -(-width // 2)


def _distance(op: Conv) -> int:
    """Return how many places the second one of a pair is behind the first one."""
    return 1 if _is_pooled(op) else op.out.shape[1] // 2


def _row_words(op: Conv) -> int:
    """Return the words of one packed row."""
    places = (_count(op) - 1) * op.stride[1] * (2 if _is_pooled(op) else 1) + op.kernel[1]
    return places * op.weights.codes.shape[3]


def _offsets(op: Conv | Dense) -> NDArray[np.int64]:
    """Return where each input of one place lies, in elements from its first."""
    if isinstance(op, Dense):
        return np.arange(op.weights.matrix.shape[1])
    rows = np.arange(op.kernel[0])[:, None] * _row_words(op)
    return (rows + np.arange(op.kernel[1] * op.weights.codes.shape[3])).ravel()


def _out_type(op: Conv | Dense) -> str:
    return "int32_t" if op.out.dtype is INT32 else "uint8_t"


def _body(op: Conv | Dense, symbol: str, zero: int, row: int, assign: str = "=") -> list[str]:
    """Print all groups; names are x0, x1, … for the rows, y and z for the places written."""
    bias = op.bias.astype(np.int64) - zero * op.weights.matrix.sum(axis=1)
    offsets = _offsets(op)
    lines = list[str]()
    for group in groups_of(op.weights):
        lines += [f"    {line}" for line in _group(group, offsets, row, op, symbol, bias, assign)]
    return lines


def _group(
    group: Group,
    offsets: NDArray[np.int64],
    row: int,
    op: Conv | Dense,
    symbol: str,
    bias: NDArray[np.int64],
    assign: str,
) -> list[str]:
    columns = len(group.signs)
    buckets = group.buckets
    names = [*(f"s{k}" for k in range(columns)), *(["b"] if buckets else [])]
    lines = ["{", f"    {'uint32_t' if isinstance(op, Conv) else 'int32_t'} {', '.join(names)};"]
    fresh = [True] * columns
    for pattern, plus, minus in buckets:
        lines += [f"    {line}" for line in _wrap(f"b = {_terms(offsets[plus], offsets[minus], row)};")]
        lines.append("    BITQ_OPAQUE(b);")
        for column in range(columns):
            if pattern[column] != 0:
                if fresh[column]:
                    lines.append(f"    s{column} = {'' if pattern[column] > 0 else '0 - '}b;")
                else:
                    lines.append(f"    s{column} {'+' if pattern[column] > 0 else '-'}= b;")
                fresh[column] = False
    lines += [f"    s{k} = 0;" for k in range(columns) if fresh[k]]
    for index in range(columns // group.planes):
        output = group.first + index
        sums = [f"s{index * group.planes + plane}" for plane in range(group.planes)]
        multiplier = [f"{int(op.rescale.multiplier[output])}u"] if op.rescale and op.rescale.per_channel else []
        more = [_bias(op, output, int(bias[output])), *multiplier]
        lines += [f"    {line}" for line in _finish(op, symbol, sums, output, more, assign)]
    return [*lines, "}"]


def _total(sums: Sequence[str], half: str) -> str:
    """Return the sum of all planes, in one half of the words."""
    taken = [f"{half}({name})" if half else name for name in sums]
    return " + ".join(f"{name}{f' * {1 << plane}' if plane else ''}" for plane, name in enumerate(taken))


def _terms(plus: NDArray[np.int64], minus: NDArray[np.int64], row: int) -> str:
    text = " + ".join(f"x{k // row}[{k % row}]" for k in plus)
    return (text or "0") + "".join(f" - x{k // row}[{k % row}]" for k in minus)


def _bias(op: Conv | Dense, output: int, bias: int) -> str:
    """Return what is added: before the multiplication, or after it where nothing is shifted before."""
    rescale = op.rescale
    if rescale is None:
        return "INT32_MIN" if bias == INT32.low else str(bias)
    if rescale.pre_shift == 0:
        bias = bias * int(rescale.multiplier[output if rescale.per_channel else 0]) + (1 << rescale.shift >> 1)
    return f"{bias % 2**32}u"


def _finish(
    op: Conv | Dense, symbol: str, sums: Sequence[str], output: int, more: Sequence[str], assign: str
) -> list[str]:
    """Print the statements that turn the sums of an output's planes into its results."""
    low, high, one = (_total(sums, half) for half in ("bitq_low_half", "bitq_high_half", ""))
    if op.rescale is None:
        results = [("y", one)] if isinstance(op, Dense) else [("y", low), ("z", high)]
        return [f"{place}[{output}] {assign} {total} + ({more[0]});" for place, total in results]
    if isinstance(op, Dense):
        return [f"y[{output}] {assign} {symbol}_scaled({', '.join([one, *more])});"]
    halves = [one] if _fits(op) else [low, high]
    places = [f"y + {output}"] if _is_pooled(op) else [f"y + {output}", f"z + {output}"]
    return [f"{symbol}_put({', '.join([*halves, *more, *places])});"]


def _fits(op: Conv) -> bool:
    """Whether the planes of an output can be added up before the halves are taken apart."""
    return int(np.abs(op.weights.matrix).sum(axis=1).max()) * UINT8.high <= INT16.high


def _finisher(op: Conv | Dense, symbol: str) -> list[str]:
    rescale = op.rescale
    if rescale is None:
        return []
    low, high = relative_clamp(op, rescale)
    zero = byte_zero(op.out)
    limits = [
        *([f"    value = value < {low} ? {low} : value;"] if low > INT32.low else []),
        *([f"    value = value > {high} ? {high} : value;"] if high < INT32.high else []),
    ]
    multiplier = "multiplier" if rescale.per_channel else f"{int(rescale.multiplier[0])}u"
    if rescale.pre_shift == 0:
        product = f"(uint32_t)sum * {multiplier} + bias"
    else:
        before = f"bitq_floor_shift(bitq_signed((uint32_t)sum + bias), {rescale.pre_shift})"
        product = f"(uint32_t){before} * {multiplier} + {1 << rescale.shift >> 1}u"
    kind = _out_type(op)
    parameter = ", uint32_t multiplier" if rescale.per_channel else ""
    lines = [
        f"static inline {kind} {symbol}_scaled(int32_t sum, uint32_t bias{parameter})",
        "{",
        f"    int32_t value = bitq_floor_shift(bitq_signed({product}), {rescale.shift});",
        *limits,
        f"    return ({kind})(value{f' + {zero}' if zero else ''});",
        "}",
        "",
    ]
    if isinstance(op, Dense):
        return lines
    more = f"bias{', multiplier' if rescale.per_channel else ''}"
    low, high = ("bitq_low_half(sum)", "bitq_high_half(sum)") if _fits(op) else ("low", "high")
    sums = "uint32_t sum" if _fits(op) else "int32_t low, int32_t high"
    places, statements = f"{kind} *y", [f"    *y = {symbol}_scaled(bitq_larger({low}, {high}), {more});"]
    if not _is_pooled(op):
        places += f", {kind} *z"
        statements = [f"    *y = {symbol}_scaled({low}, {more});", f"    *z = {symbol}_scaled({high}, {more});"]
    head = f"BITQ_SHARED void {symbol}_put({sums}, uint32_t bias{parameter}, {places})"
    return [*lines, head, "{", *statements, "}", ""]


def _wrap(statement: str) -> list[str]:
    lines, line = list[str](), ""
    for word in statement.split(" "):
        if line and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = "   "
        line = f"{line} {word}" if line else word
    return [*lines, line]
