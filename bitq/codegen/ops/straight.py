"""Straight-line C for a small layer: its weights are the code, and no instruction is spent on unpacking them.

The code leaves the sum of each column, a plane of an output, in an array; a loop over the outputs finishes them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import Constant, table
from bitq.codegen.ops import lookups
from bitq.codegen.ops.groups import MOST_COLUMNS, Group, columns_of, groups_of
from bitq.codegen.ops.layer import Layer, Place, byte_zero, relative_clamp
from bitq.codegen.ops.printer import Printer
from bitq.ir.ops import AvgPool, Conv, Dense, Op
from bitq.ir.types import INT32, Rescale, Weights

_WIDTH = 112


def covers(op: Dense) -> bool:
    """Whether a layer has this form: each weight is a few signs."""
    return op.weights.dtype.bits <= MOST_COLUMNS


def dense(op: Dense, at: Place, *, add: bool = False) -> Layer:
    """Print a dense layer: a function of its own, whose results are stored, or added to what is there."""
    x = at.inputs[0]
    zero = x.type.zero_point if x.flip else x.zero
    element = "int8_t" if x.flip else "uint8_t"
    planes, signs = columns_of(op.weights)

    total = " + ".join(f"{name}{f' * {1 << p}u' if p else ''}" for p, name in enumerate(total_names(planes)))
    store = f"y[i] {'+=' if add else '='} {result_of(op, at.symbol, f'bitq_signed({total})')};"
    tables, end = finished(op, at.symbol, zero, [store])
    body, runtime = _sums(op, x.flip, element)
    lines = [
        *scaled(op, at.symbol),
        f"static void {at.symbol}_code(const uint8_t *bytes, {out_type(op)} *y)",
        "{",
        f"    uint32_t totals[{len(signs)}];",
        *(f"    {line}" for line in [*body, *end]),
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    return Layer(op, (*tables, code), f"{code.name}({x.expression}, {at.y});", runtime)


DENSE = Printer(dense)


def _sums(op: Dense, flip: int, element: str) -> tuple[list[str], tuple[str, ...]]:
    """Print the sums of all columns, and name the runtime functions that they need."""
    inputs = op.weights.matrix.shape[1]
    pointer = f"const {element} *const x0 = (const {element} *)bytes;"
    if lookups.pays(op.weights, [inputs], made=1):
        runs = [lookups.Run("x0", inputs)]
        call = "bitq_signed_sums" if flip else "bitq_byte_sums"
        return [pointer, *lookups.lines(op.weights, runs, "totals", call)], (call,)
    used = op.weights.codes.any()
    return [
        pointer if used else "(void)bytes;",
        *bucket_lines(op.weights, np.arange(inputs), inputs, "int32_t", "totals"),
    ], ()


def finish(op: Dense, at: Place, zero: int, sums: str, room: int) -> tuple[list[Constant], str]:
    """Print a function that finishes what a kernel sums up, with its tables and the call.

    Args:
        op: the layer, of one plane.
        at: where it stands.
        zero: the integer that stands for 0 in the input as the kernel takes it.
        sums: the statement that leaves the sums of the bytes at ``x`` in ``totals``.
        room: of ``totals``.
    """
    store = f"y[i] = {result_of(op, at.symbol, 'bitq_signed(totals[i])')};"
    tables, loop = finished(op, at.symbol, zero, [store])
    lines = [
        *scaled(op, at.symbol),
        f"static void {at.symbol}_code(const uint8_t *x, {out_type(op)} *y)",
        "{",
        f"    uint32_t totals[{room}];",
        f"    {sums}",
        *(f"    {line}" for line in loop),
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    return [*tables, code], f"{code.name}({at.inputs[0].expression}, {at.y});"


def total_names(planes: int, output: str = "i") -> list[str]:
    """Return the sums of the planes of an output, the lowest first."""
    first = f"{planes}u * ({output})" if planes > 1 else output
    return [f"totals[{first}{f' + {plane}u' if plane else ''}]" for plane in range(planes)]


def result_of(op: Conv | Dense, symbol: str, total: str, output: str = "i") -> str:
    """Return the C expression for a result from its signed sum; the tables of all are `bias`, `multiplier`."""
    if op.rescale is None:
        return f"bitq_signed((uint32_t)({total}) + (uint32_t)bias[{output}])"
    multiplier = f", (uint32_t)multiplier[{output}]" if op.rescale.per_channel else ""
    return f"{symbol}_scaled({total}, (uint32_t)bias[{output}]{multiplier})"


def out_type(op: Op) -> str:
    """Return the C type of one result."""
    return "int32_t" if op.out.dtype is INT32 else "uint8_t"


def finished(
    op: Conv | Dense, symbol: str, zero: int, store: Sequence[str], together: int = 1
) -> tuple[list[Constant], list[str]]:
    """Return the tables that finish the outputs, and print the loop over them.

    Args:
        op: the layer.
        symbol: prefix of the tables: what is added to each sum, and one multiplier per channel, if any.
        zero: the integer that stands for 0 in the input, which is folded into what is added.
        store: statements about output i, with `result_of` its sum; about those from i on where there are more.
        together: outputs of one turn of the loop, which divide all.
    """
    bias, rescale = op.bias.astype(np.int64) - zero * op.weights.matrix.sum(axis=1), op.rescale
    columns = {"bias": added(bias, rescale)}
    if rescale is not None and rescale.per_channel:
        columns["multiplier"] = rescale.multiplier.astype(np.int32)
    tables = [table(f"{symbol}_{name}", _short(column)) for name, column in columns.items()]
    kinds = [f"{_short(column).dtype}_t" for column in columns.values()]
    named = [f"const {kind} *{name} = {symbol}_{name};" for name, kind in zip(columns, kinds, strict=True)]
    # Compilers would write the numbers of a short table into the code.
    hidden = [f"BITQ_OPAQUE({name});" for name in columns]
    step = "++i" if together == 1 else f"i += {together}u"
    loop = [f"for (uint32_t i = 0; i < {len(bias)}u; {step}) {{", *(f"    {line}" for line in store), "}"]
    return tables, [*named, *hidden, *loop]


def _short(values: NDArray[np.int32]) -> NDArray[np.int16] | NDArray[np.int32]:
    short = values.astype(np.int16)
    return short if (short == values).all() else values


def added(bias: NDArray[np.int64], rescale: Rescale | None) -> NDArray[np.int32]:
    """Return what `scaled` adds for a bias, modulo 2^32 as the sums, as the int32 of the same bits."""
    if rescale is not None and rescale.pre_shift == 0:
        bias = bias * rescale.multiplier.astype(np.int64) + (1 << rescale.shift >> 1)
    return bias.astype(np.uint32).view(np.int32)


def scaled(op: Conv | Dense | AvgPool, symbol: str) -> list[str]:
    """Print the function that turns a sum and what is added to it into a result, in constants."""
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
    kind = out_type(op)
    parameter = ", uint32_t multiplier" if rescale.per_channel else ""
    return [
        f"static inline {kind} {symbol}_scaled(int32_t sum, uint32_t bias{parameter})",
        "{",
        f"    int32_t value = bitq_floor_shift(bitq_signed({product}), {rescale.shift});",
        *limits,
        *([f"    value += {zero};"] if zero else []),
        f"    return ({kind})value;",
        "}",
        "",
    ]


def bucket_lines(weights: Weights, offsets: NDArray[np.int64], row: int, kind: str, to: str) -> list[str]:
    """Print the sums of all columns, some columns at a time.

    Args:
        weights: of one layer.
        offsets: where each input lies, in elements from the first.
        row: elements of a row; a row k has the C name ``x<k>``.
        kind: C type of a sum.
        to: the array that takes the sums of the columns.
    """
    lines = list[str]()
    for group in groups_of(weights):
        lines += _group(group, offsets, row, kind, to)
    return lines


def _group(group: Group, offsets: NDArray[np.int64], row: int, kind: str, to: str) -> list[str]:
    columns, buckets = len(group.signs), group.buckets
    names = [*(f"s{k}" for k in range(columns)), *(["b"] if buckets else [])]
    lines = ["{", f"    {kind} {', '.join(names)};"]
    fresh, negative = [True] * columns, "0u - b" if kind == "uint32_t" else "-b"
    for pattern, plus, minus in buckets:
        lines += [f"    {line}" for line in _wrap(f"b = {_terms(offsets[plus], offsets[minus], row, kind)};")]
        lines.append("    BITQ_OPAQUE(b);")
        for column in range(columns):
            if pattern[column] != 0:
                if fresh[column]:
                    lines.append(f"    s{column} = {'b' if pattern[column] > 0 else negative};")
                else:
                    lines.append(f"    s{column} {'+' if pattern[column] > 0 else '-'}= b;")
                fresh[column] = False
    lines += [f"    s{k} = 0;" for k in range(columns) if fresh[k]]
    first = group.first * group.planes
    cast = "" if kind == "uint32_t" else "(uint32_t)"
    lines += [f"    {to}[{first + k}] = {cast}s{k};" for k in range(columns)]
    return [*lines, "}"]


def _terms(plus: NDArray[np.int64], minus: NDArray[np.int64], row: int, kind: str) -> str:
    text = " + ".join(f"x{k // row}[{k % row}]" for k in plus)
    rest = " - ".join(f"x{k // row}[{k % row}]" for k in minus)
    if text and rest:
        return f"{text} - {rest}"
    return text or (f"0u - {rest}" if kind == "uint32_t" else f"-({kind}){rest}")


def _wrap(statement: str) -> list[str]:
    lines, line = list[str](), ""
    for word in statement.split(" "):
        if line and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = "   "
        line = f"{line} {word}" if line else word
    return [*lines, line]
