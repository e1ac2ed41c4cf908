"""Recurrent layers in C: both matrices as linear layers whose parts are added up, and the cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bitq.codegen.constants import Constant, Fields, nested, struct
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Operand, Place, byte_zero, require
from bitq.codegen.ops.linear import linear_constants
from bitq.codegen.pack import PACKINGS
from bitq.ir.ops import Dense, Recurrent
from bitq.ir.types import INT32

_ADDED = 0  # out_bytes of what is added to what is there


def recurrent(op: Recurrent, at: Place) -> Layer:
    """Print a recurrent layer."""
    constants, runtime = _constants(op, at)
    x, copy = at.inputs[0].expression, _copy(at, _words_of_parts(op) + op.units)
    call = f"bitq_recur(&{at.symbol}_layer, {x}, {copy}, (int32_t *)({at.scratch}), {at.y});"
    return Layer(op, constants, call, ("bitq_recur", *runtime))


def scratch(op: Recurrent, inputs: Sequence[Operand]) -> int:
    """Room for state and parts, and for a copy of one step of the caller's input, whose bytes are flipped."""
    return step_scratch(op, inputs) + 4 * op.units


def step(op: Recurrent, at: Place, state: str) -> Layer:
    """Print one step of a recurrent layer whose state and latest output are fields of the caller's ``state``."""
    constants, runtime = _constants(op, at)
    x, copy, output = at.inputs[0].expression, _copy(at, _words_of_parts(op)), f"state->{state}_output"
    parts = f"(int32_t *)({at.scratch})"
    call = f"bitq_step(&{at.symbol}_layer, {x}, {copy}, {parts}, state->{state}, {output}, {output});"
    value = f"bitq_concat({output}, 0, 1, {op.units}, {at.y}, {op.units});"
    return Layer(op, constants, f"{call}\n    {value}", ("bitq_concat", *runtime))


def step_scratch(op: Recurrent, inputs: Sequence[Operand]) -> int:
    """Room for the parts of one step, and for a copy of the caller's input."""
    return 4 * _words_of_parts(op) + (inputs[0].type.shape[-1] if inputs[0].flip else 0)


def _constants(op: Recurrent, at: Place) -> tuple[tuple[Constant, ...], tuple[str, ...]]:
    """Return the constants of a layer, and the functions that a step of it uses.

    The parts of the input are added to those of the state. A GRU needs both of its last gate: the state's come first
    there, so that the input's, which begin one gate later, meet the others.
    """
    x = at.inputs[0]
    time = x.type.shape[1]
    require(op, time <= UINT16_MAX, f"a sequence of {time} steps", f"at most {UINT16_MAX}")
    require(op, op.units <= UINT16_MAX, f"{op.units} units", f"at most {UINT16_MAX}")
    apart = op.units if op.cell == "gru" else 0
    state = _words(_rolled(op.state, apart))
    constants, state_fields = linear_constants(state, f"{at.symbol}_state", byte_zero(op.out))
    tables, input_fields = linear_constants(_words(op.input), f"{at.symbol}_input", x.zero, out_bytes=_ADDED)
    constants += tables
    steps = op.order(time)
    fields: Fields = [
        ("state", nested(state_fields)),
        ("input", nested(input_fields)),
        ("cell", f"bitq_{op.cell}"),
        ("first", steps[0]),
        ("steps", len(steps)),
        ("apart", apart),
        ("fraction", op.fraction),
        ("cell_fraction", op.cell_fraction),
        ("shift", op.shift),
        ("reverse", int(op.reverse)),
        ("whole", int(op.pick is None)),
        ("zero", byte_zero(op.out)),
    ]
    constants.append(struct(f"{at.symbol}_layer", "bitq_recurrent", fields))
    kernels = [PACKINGS[weights.dtype.name].kernel for weights in op.matrices]
    curve = ["bitq_tanh"] if op.cell != "relu" else []
    return tuple(constants), ("bitq_step", "bitq_dense", f"bitq_{op.cell}", *curve, *kernels)


def _copy(at: Place, words: int) -> str:
    return f"(uint8_t *)({at.scratch} + {words})" if at.inputs[0].flip else "NULL"


def _words_of_parts(op: Recurrent) -> int:
    return (op.kind.gates + (op.cell == "gru")) * op.units


def _words(part: Dense) -> Dense:
    """Return a matrix whose parts are held in words."""
    return replace(part, out=replace(part.out, dtype=INT32))


def _rolled(part: Dense, rows: int) -> Dense:
    """Return a matrix with its last rows first."""
    assert part.rescale is not None
    multiplier = part.rescale.multiplier
    return replace(
        part,
        weights=replace(part.weights, codes=np.roll(part.weights.codes, rows, axis=0)),
        bias=np.roll(part.bias, rows),
        rescale=replace(part.rescale, multiplier=np.roll(multiplier, rows) if len(multiplier) > 1 else multiplier),
    )
