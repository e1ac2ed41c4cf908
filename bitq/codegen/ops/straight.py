"""Straight-line C for a small layer: its weights are the code, and no instruction is spent on unpacking them.

The outputs are taken some columns at a time. Within such a group every input belongs to one bucket, that of the signs
that its weights have in these columns. A bucket is summed up once and then added to, or taken from, each column. So
four outputs cost little more than one load and one addition per input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import Constant, struct
from bitq.codegen.ops.conv import is_grouped
from bitq.codegen.ops.layer import Layer, Operand, Place, byte_zero, out_bytes, relative_clamp, window_fields
from bitq.codegen.ops.printer import Printer
from bitq.ir.ops import Conv, Dense
from bitq.ir.types import INT32, TERNARY, Weights

_MOST_COLUMNS = 4
_WIDTH = 112

Signs = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Group:
    """Some columns of one place.

    Attributes:
        first: number of the first output.
        planes: columns of one output, lowest first; plane p counts 2^p.
        signs: -1, 0 or 1 of each column and input, ``(columns, inputs)``.
    """

    first: int
    planes: int
    signs: Signs

    @property
    def buckets(self) -> list[tuple[Signs, NDArray[np.int64], NDArray[np.int64]]]:
        """Each pattern of signs, with the inputs that have it and those that have its opposite."""
        found: dict[bytes, tuple[Signs, list[int], list[int]]] = {}
        for place, pattern in enumerate(self.signs.T):
            used = pattern[pattern != 0]
            if len(used) == 0:
                continue
            key = np.ascontiguousarray(pattern * used[0])
            _, plus, minus = found.setdefault(key.tobytes(), (key, [], []))
            (plus if used[0] > 0 else minus).append(place)
        return [(key, np.array(plus, np.int64), np.array(minus, np.int64)) for key, plus, minus in found.values()]

    @property
    def operations(self) -> int:
        """Loads and additions that it takes."""
        inputs = int((self.signs != 0).any(axis=0).sum())
        merges = sum(int((pattern != 0).sum()) for pattern, _, _ in self.buckets)
        return 2 * inputs - len(self.buckets) + merges


def groups_of(weights: Weights) -> list[Group]:
    """Split the outputs of a layer into groups, as wide as takes the fewest operations."""
    planes, signs = _columns(weights)
    choices: list[list[Group]] = []
    for width in range(1, _MOST_COLUMNS + 1):
        if width % planes == 0:
            cuts = range(0, len(signs), width)
            choices.append([Group(cut // planes, planes, signs[cut : cut + width]) for cut in cuts])
    return min(choices, key=lambda groups: sum(group.operations for group in groups))


def _columns(weights: Weights) -> tuple[int, Signs]:
    matrix = weights.matrix
    if weights.dtype is TERNARY:
        return 1, matrix.astype(np.int8)
    planes = weights.dtype.bits
    fields = (matrix + weights.dtype.high) >> 1
    signs = [2 * (fields >> plane & 1) - 1 for plane in range(planes)]
    return planes, np.stack(signs, axis=1).reshape(-1, matrix.shape[1]).astype(np.int8)


def covers(op: Conv | Dense) -> bool:
    """Whether a layer has this form: each weight is a few signs, each output reads the whole window."""
    return op.weights.dtype.bits <= _MOST_COLUMNS and not (isinstance(op, Conv) and is_grouped(op))


def dense(op: Dense, at: Place) -> Layer:
    """Print a dense layer."""
    code = _place_function(op, at.symbol, at.inputs[0])
    return Layer(op, (code,), f"{code.name}({at.inputs[0].expression}, 0, {at.y});", ())


def conv(op: Conv, at: Place) -> Layer:
    """Print a convolution without groups and gaps."""
    x = at.inputs[0]
    code = _place_function(op, at.symbol, x)
    own = {"flip": 0, "zero": _zero(x) % 256}
    fields = [(name, own.get(name, value)) for name, value in window_fields(op, x, op.kernel, op.stride, op.padding)]
    window = struct(f"{at.symbol}_window", "bitq_window", fields)
    patch = f"(uint8_t *)({at.scratch})"
    step = op.out.shape[2] * out_bytes(op)
    call = f"bitq_places(&{window.name}, {code.name}, {x.expression}, {patch}, {at.y}, {step});"
    return Layer(op, (code, window), call, ("bitq_places",))


def scratch(op: Conv, inputs: Sequence[Operand]) -> int:
    """Room for the inputs of one place at the edge."""
    return op.weights.matrix.shape[1]


DENSE = Printer(dense)
CONV = Printer(conv, scratch)


def _zero(x: Operand) -> int:
    """Return the byte that stands for 0 in memory; the caller's bytes are signed."""
    return x.type.zero_point if x.flip else x.zero


def _place_function(op: Conv | Dense, symbol: str, x: Operand) -> Constant:
    """Print the function that computes all outputs of a layer at one place."""
    row = op.weights.matrix.shape[1] // (op.kernel[0] if isinstance(op, Conv) else 1)
    used = sorted({int(place) // row for place in np.flatnonzero(op.weights.matrix.any(axis=0))})
    element = "int8_t" if x.flip else "uint8_t"
    bias = op.bias.astype(np.int64) - _zero(x) * op.weights.matrix.sum(axis=1)
    lines = [
        f"static void {symbol}_place(const uint8_t *x, uint32_t row, void *y)",
        "{",
        *(f"    const {element} *const x{k} = (const {element} *)x{_offset(k)};" for k in used),
        f"    {_out_type(op)} *const to = y;",
        *([] if used else ["    (void)x;"]),
        *([] if any(used) else ["    (void)row;"]),
    ]
    for group in groups_of(op.weights):
        lines += [f"    {line}" for line in _group(group, row, op, symbol, bias)]
    return Constant(f"{symbol}_place", "\n".join([*_finisher(op, symbol), *lines, "}", ""]), 0)


def _offset(row: int) -> str:
    return ("", " + row")[row] if row < 2 else f" + {row} * row"


def _out_type(op: Conv | Dense) -> str:
    return "int32_t" if op.out.dtype is INT32 else "uint8_t"


def _group(group: Group, row: int, op: Conv | Dense, symbol: str, bias: NDArray[np.int64]) -> list[str]:
    columns = len(group.signs)
    buckets = group.buckets
    names = [*(f"s{k}" for k in range(columns)), *(["b"] if buckets else [])]
    lines = ["{", f"    int32_t {', '.join(names)};"]
    fresh = [True] * columns
    for pattern, plus, minus in buckets:
        lines += [f"    {line}" for line in _wrap(f"b = {_terms(plus, minus, row)};")]
        for column in range(columns):
            if pattern[column] != 0:
                if fresh[column]:
                    lines.append(f"    s{column} = {'' if pattern[column] > 0 else '-'}b;")
                else:
                    lines.append(f"    s{column} {'+' if pattern[column] > 0 else '-'}= b;")
                fresh[column] = False
    lines += [f"    s{k} = 0;" for k in range(columns) if fresh[k]]
    for index in range(columns // group.planes):
        output = group.first + index
        first = index * group.planes
        total = " + ".join(f"s{first + p}{f' * {1 << p}' if p else ''}" for p in range(group.planes))
        lines.append(f"    to[{output}] = {_finished(op, symbol, total, output, int(bias[output]))};")
    return [*lines, "}"]


def _terms(plus: Sequence[int] | NDArray[np.int64], minus: Sequence[int] | NDArray[np.int64], row: int) -> str:
    text = " + ".join(f"x{place // row}[{place % row}]" for place in plus)
    return (
        text + "".join(f" - x{place // row}[{place % row}]" for place in minus)
        if text
        else ("-" + " - ".join(f"x{place // row}[{place % row}]" for place in minus))
    )


def _finished(op: Conv | Dense, symbol: str, total: str, output: int, bias: int) -> str:
    rescale = op.rescale
    if rescale is None:
        return f"{total} + {_literal(bias)}" if bias else total
    multiplier = int(rescale.multiplier[output if rescale.per_channel else 0])
    if rescale.pre_shift == 0:
        bias = bias * multiplier + (1 << rescale.shift >> 1)
    more = f", {multiplier}u" if rescale.per_channel else ""
    return f"{symbol}_scaled({total}, {bias % 2**32}u{more})"


def _literal(value: int) -> str:
    return f"({value})" if value < 0 else str(value)


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
    return [
        f"static inline {kind} {symbol}_scaled(int32_t sum, uint32_t bias{parameter})",
        "{",
        f"    int32_t value = bitq_floor_shift(bitq_signed({product}), {rescale.shift});",
        *limits,
        f"    return ({kind})(value{f' + {zero}' if zero else ''});",
        "}",
        "",
    ]


def _wrap(statement: str) -> list[str]:
    lines, line = list[str](), ""
    for word in statement.split(" "):
        if line and len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = "   "
        line = f"{line} {word}" if line else word
    return [*lines, line]
