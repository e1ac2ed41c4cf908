"""A convolution whose weights are code, computed at two places at once, in the halves of 32-bit words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitq.codegen.constants import Constant, Fields, nested, struct
from bitq.codegen.ops import lookups
from bitq.codegen.ops.conv import is_grouped
from bitq.codegen.ops.groups import MOST_COLUMNS, columns_of
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Operand, Place, out_bytes, require, window_fields
from bitq.codegen.ops.pooled import PooledConv
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.straight import bucket_lines, finished, out_type, result_of, scaled, total_names
from bitq.ir.ops import Conv
from bitq.ir.types import INT16, UINT8


def covers(op: Conv) -> bool:
    """Whether a layer has this form: outputs read the whole window, a weight is a few signs, a sum has 16 bits."""
    return (
        not is_grouped(op)
        and op.weights.dtype.bits <= MOST_COLUMNS
        and op.weights.matrix.shape[1] * UINT8.high <= INT16.high
    )


def conv(op: Conv, at: Place) -> Layer:
    """Print a function for two places, and the layer that calls it for all of them."""
    x = at.inputs[0]
    tables, finish = finished(op, at.symbol, x.zero, store(op, at.symbol))
    body, runtime = _sums(op)
    second = "(void)second;" if _is_pooled(op) else f"{out_type(op)} *const z = second;"
    finish = [f"{out_type(op)} *const y = first;", second, *finish]
    lines = [
        *scaled(op, at.symbol),
        f"static void {at.symbol}_code(const uint32_t *x, void *first, void *second)",
        "{",
        f"    uint32_t totals[{len(columns_of(op.weights)[1])}];",
        *(f"    {line}" for line in [*body, *finish]),
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    layer = struct(f"{at.symbol}_layer", "bitq_pairs", _pairs(op, x))
    function = "bitq_conv_row" if op.kernel[0] == 1 else "bitq_conv_pairs"
    call = f"{function}(&{layer.name}, {code.name}, {x.expression}, {at.scratch}, {at.y});"
    return Layer(op, (*tables, code, layer), call, (function, *runtime))


def _pairs(op: Conv, x: Operand) -> Fields:
    channels, width = op.weights.codes.shape[3], op.out.shape[1]
    stride, step = op.stride[1] * channels, op.out.shape[2] * out_bytes(op)
    sizes: Fields = [
        ("count", _count(op)),
        ("apart", stride * _distance(op)),
        ("stride", stride * (2 if _is_pooled(op) else 1) * (2 if _is_shared(op) else 1)),
        ("length", _row_words(op)),
        ("step", step),
        ("second", 0 if _is_pooled(op) else step * _distance(op)),
        ("skip", step * (width - _count(op))),
        ("gap", max(0, op.stride[0] - op.kernel[0])),
        ("sets", _row_words(op) // lookups.INPUTS if _is_shared(op) else 0),
    ]
    largest = max(int(size) for _, size in sizes)
    require(op, largest <= UINT16_MAX, f"a step of {largest}", f"at most {UINT16_MAX}")
    window = nested(window_fields(op, x, op.kernel, op.stride, op.padding))
    return [("window", window), *sizes]


def scratch(op: Conv, inputs: Sequence[Operand]) -> int:
    """Room for the rows that a row of pairs reads, a word for two inputs, or for the sums of one row."""
    return 4 * _row_words(op) * (2 if _is_shared(op) else op.kernel[0])


def in_place(op: Conv, inputs: Sequence[Operand]) -> bool:
    """Whether each row of the output ends before the first input row that the next one reads."""
    _, width, channels = op.out.shape
    row = width * channels * out_bytes(op)
    read = inputs[0].type.shape[1] * inputs[0].type.shape[2]
    return all(n * row <= max(0, n * op.stride[0] - op.padding[0][0]) * read for n in range(1, op.out.shape[0]))


CONV = Printer(conv, scratch, in_place)


def _sums(op: Conv) -> tuple[list[str], tuple[str, ...]]:
    """Print the sums of all columns, and name the runtime functions that make sums of four inputs."""
    row, span = _row_words(op), op.kernel[1] * op.weights.codes.shape[3]
    rows = [f"x{k}" for k in range(op.kernel[0])]
    pointers = [f"const uint32_t *const x{k} = x{f' + {k * row}' if k else ''};" for k in range(op.kernel[0])]
    runs = [lookups.Run(name, span) for name in rows]
    if _is_shared(op):
        count = lookups.pointers(runs[0].sets)
        names = [f"const volatile uint32_t *t{k} = x{f' + {k * lookups.REACH}' if k else ''};" for k in range(count)]
        hidden = [f"BITQ_OPAQUE(t{k});" for k in range(1, count)]
        return [*names, *hidden, *lookups.lines(op.weights, runs, "totals")], ()
    if lookups.pays(op.weights, _runs(op), made=1):
        return [*pointers, *lookups.lines(op.weights, runs, "totals", "bitq_sums")], ("bitq_sums",)
    offsets = (np.arange(op.kernel[0])[:, None] * row + np.arange(span)).ravel()
    printed = bucket_lines(op.weights, offsets, row, "uint32_t", "totals")
    used = sorted({int(k) // row for k in offsets[op.weights.matrix.any(axis=0)]})
    return [*(pointers[k] for k in used), *([] if used else ["(void)x;"]), *printed], ()


def _is_shared(op: Conv) -> bool:
    """Whether the windows of a row share sums: each begins, and ends, where the four inputs of one do."""
    step = op.stride[1] * op.weights.codes.shape[3]
    whole = op.weights.codes.shape[3] % lookups.INPUTS == 0 and step % lookups.INPUTS == 0
    return op.kernel[0] == 1 and whole and lookups.pays(op.weights, _runs(op), made=0)


def _runs(op: Conv) -> list[int]:
    """Return how many inputs lie side by side, in each row of the window."""
    return [op.kernel[1] * op.weights.codes.shape[3]] * op.kernel[0]


def store(op: Conv, symbol: str, together: int = 1) -> list[str]:
    """Print how the sums of the planes of the outputs from i on become their results at both places."""
    lines, results = list[str](), list[tuple[str, str]]()
    for k in range(together):
        output = f"i + {k}u" if k else "i"
        before, halves = _halves(op, total_names(columns_of(op.weights)[0], output), str(k) if together > 1 else "")
        lines += before
        for place, half in zip("yz", halves, strict=False):
            results.append((f"{place}[{output}]", result_of(op, symbol, half, output)))
    if together > 1:
        # All come before the first is stored, which might be part of a table for all that a compiler knows.
        lines += [f"const {out_type(op)} result{k} = {result};" for k, (_, result) in enumerate(results)]
        results = [(to, f"result{k}") for k, (to, _) in enumerate(results)]
    return [*lines, *(f"{to} = {result};" for to, result in results)]


def _halves(op: Conv, names: Sequence[str], suffix: str) -> tuple[list[str], list[str]]:
    """Print what comes before the signed sums of both places, or of the larger one alone, and return these."""
    if _fits(op):
        before = [f"const uint32_t sum{suffix} = {_total(names, 'u')};"]
        halves = [f"bitq_low_half(sum{suffix})", f"bitq_high_half(sum{suffix})"]
    else:
        lows, highs = ([f"bitq_{half}_half({name})" for name in names] for half in ("low", "high"))
        before = [f"const int32_t low{suffix} = {_total(lows)};", f"const int32_t high{suffix} = {_total(highs)};"]
        halves = [f"low{suffix}", f"high{suffix}"]
    return before, [f"bitq_larger({halves[0]}, {halves[1]})"] if _is_pooled(op) else halves


def _total(planes: Sequence[str], suffix: str = "") -> str:
    """Return the sum of the planes of an output, the lowest first."""
    return " + ".join(f"{name}{f' * {1 << plane}{suffix}' if plane else ''}" for plane, name in enumerate(planes))


def _fits(op: Conv) -> bool:
    """Whether the planes of an output can be added up before the halves are taken apart."""
    return int(np.abs(op.weights.matrix).sum(axis=1).max()) * UINT8.high <= INT16.high


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
