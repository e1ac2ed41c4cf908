"""A GRU whose weights have one bit, where speed counts: both matrices as one straight-line code, and its cell.

A total holds the sum of the state in its low half and that of the input in its high half, so every row takes one
chain of additions. The cell makes the parts of the gates from it, unit by unit, in constants.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitq.codegen.constants import Constant, table
from bitq.codegen.ops import lookups
from bitq.codegen.ops.layer import Operand, byte_zero
from bitq.codegen.ops.straight import added, scaled
from bitq.ir.ops import Dense, Recurrent
from bitq.ir.types import BIPOLAR, INT16, UINT8, Weights

RUNTIME = ("bitq_curve", "bitq_tanh")
"""What the code needs of the runtime."""

_MOST = INT16.high // UINT8.high  # inputs of a sum that fits in half a word


def covers(state: Dense, first: Dense) -> bool:
    """Whether both matrices can share their totals, and looking sums up takes less than grouping columns."""
    most = max(part.weights.codes.shape[1] for part in (state, first))
    one_bit = all(part.weights.dtype is BIPOLAR for part in (state, first))
    return one_bit and most <= _MOST and lookups.pays(_both(state, first), [_columns(state, first)], made=1)


def parts(name: str, state: Dense, first: Dense, step: Operand) -> Constant:
    """Print the function ``name``, a `bitq_parts` that gives totals.

    Args:
        name: C identifier.
        state: the matrix of the state.
        first: that of the input.
        step: what ``first`` reads.
    """
    units, inputs = state.weights.codes.shape[1], first.weights.codes.shape[1]
    words = [f"before[{k}]" for k in range(units)] + [f"(uint32_t)step[{k}] << 16" for k in range(inputs)]
    words += ["0u"] * (-len(words) % lookups.INPUTS)
    sets = len(words) // lookups.INPUTS
    element = "int8_t" if step.flip else "uint8_t"
    made = [f"made{f' + {lookups.SUMS * k}' if k else ''}" for k in range(sets)]
    pointers = made[:: lookups.REACH // lookups.SUMS]
    body = [
        f"uint32_t made[{lookups.SUMS * sets}];",
        *(f"const volatile uint32_t *const t{k} = {place};" for k, place in enumerate(pointers)),
        f"const {element} *const step = (const {element} *)x;",
        "uint32_t *const totals = (uint32_t *)parts;",
        "(void)layer;",
        *(
            f"bitq_eight_sums({', '.join(words[lookups.INPUTS * k :][: lookups.INPUTS])}, {to});"
            for k, to in enumerate(made)
        ),
        "{",
        *(
            f"    {line}"
            for line in lookups.lines(_both(state, first), [lookups.Run("", lookups.INPUTS * sets)], "totals")
        ),
        "}",
    ]
    head = f"static void {name}(const bitq_recurrent *layer, const uint8_t *x, const uint8_t *before, int32_t *parts)"
    return Constant(name, "\n".join([head, "{", *(f"    {line}" for line in body), "}", ""]), 0)


def gru(name: str, op: Recurrent, state: Dense, first: Dense, reads: tuple[Operand, Operand]) -> list[Constant]:
    """Print the function ``name``, the `bitq_cell` of a GRU that reads totals, and its tables.

    Args:
        name: C identifier, the prefix of the tables.
        op: the layer.
        state: the matrix of the state; the rows of the new gate come first, then those of reset and update.
        first: that of the input, in the same order.
        reads: what the two read.
    """
    tables, (b, *state_parts) = _finished(f"{name}_state", state, reads[0], "low")
    more, (a, *input_parts) = _finished(f"{name}_input", first, reads[1], "high")
    reset, update = (
        f"{of_state}\n            + {of_input}" for of_state, of_input in zip(state_parts, input_parts, strict=True)
    )
    lines = [
        *scaled(state, f"{name}_state"),
        *scaled(first, f"{name}_input"),
        f"static void {name}(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)",
        "{",
        "    (void)layer;",
        f"    for (uint32_t i = 0; i < {op.units}u; ++i) {{",
        f"        const int32_t b = {b};",
        f"        const int32_t a = {a};",
        f"        const int32_t reset = {reset};",
        f"        const int32_t update = {update};",
        f"        state[i] = bitq_gru_unit(reset, update, a, b, state[i], {8192 >> op.fraction});",
        f"        y[i] = bitq_output(state[i], {op.shift}, {byte_zero(op.out)});",
        "    }",
        "}",
        "",
    ]
    return [*tables, *more, Constant(name, "\n".join(lines), 0)]


def _finished(name: str, part: Dense, x: Operand, half: str) -> tuple[list[Constant], list[str]]:
    """Return the tables that finish the sums of a matrix, and its part of unit i in each gate as C."""
    zero, rescale, units = x.type.zero_point if x.flip else x.zero, part.rescale, len(part.bias) // 3
    columns = [added(part.bias.astype(np.int64) - zero * part.weights.matrix.sum(axis=1), rescale)]
    assert rescale is not None
    if rescale.per_channel:
        columns.append(rescale.multiplier.astype(np.int32))
    tables = [table(f"{name}_{what}", column) for what, column in zip(("bias", "multiplier"), columns, strict=False)]
    rows = [f"{units * gate}u + i" if gate else "i" for gate in range(3)]
    totals = [f"bitq_{half}_half((uint32_t)parts[{row}])" for row in rows]
    finish = [[f"(uint32_t){column.name}[{row}]" for column in tables] for row in rows]
    return tables, [f"{name}_scaled({', '.join([total, *more])})" for total, more in zip(totals, finish, strict=True)]


def _columns(state: Dense, first: Dense) -> int:
    """Return the inputs of both, whole sets."""
    both = state.weights.codes.shape[1] + first.weights.codes.shape[1]
    return both + -both % lookups.INPUTS


def _both(state: Dense, first: Dense) -> Weights:
    """Return the weights of both matrices side by side, filled up to whole sets."""
    codes = np.concatenate([state.weights.codes, first.weights.codes], axis=1)
    full = np.ones((len(codes), _columns(state, first)), np.int8)
    full[:, : codes.shape[1]] = codes
    return replace(state.weights, codes=full)
