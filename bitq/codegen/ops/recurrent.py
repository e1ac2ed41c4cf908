"""Recurrent layers in C: what gives the parts of the gates, from tables or as straight-line code, and the cell.

The parts of the input are added to those of the state. A GRU needs both of its last gate: the state's come first
there, so that the input's, which begin one gate later, meet the others. Where the weights of a GRU have one bit, both
share one code (`bitq.codegen.ops.joint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitq.codegen.constants import Constant, Fields, nested, struct
from bitq.codegen.ops import joint, straight
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Operand, Place, byte_zero, require
from bitq.codegen.ops.linear import linear_constants
from bitq.codegen.pack import PACKINGS
from bitq.ir.cells import LONG
from bitq.ir.ops import Dense, Recurrent
from bitq.ir.types import TensorType


@dataclass(frozen=True)
class _Form:
    """A layer in C.

    Attributes:
        constants: its tables and functions.
        layer: address of its `bitq_recurrent`.
        parts: the function that gives the parts of a step.
        cell: the function that turns them into state and output.
        runtime: names of the runtime functions that a step uses.
    """

    constants: tuple[Constant, ...]
    layer: str
    parts: str
    cell: str
    runtime: tuple[str, ...]


def recurrent(op: Recurrent, at: Place, most: int = 0) -> Layer:
    """Print a recurrent layer; matrices of up to ``most`` weights become straight-line code."""
    form = _form(op, at, most)
    call = f"bitq_recur({form.layer}, {at.inputs[0].expression}, (int32_t *)({at.scratch}), {at.y});"
    return Layer(op, form.constants, call, ("bitq_recur", *form.runtime))


def scratch(op: Recurrent, inputs: Sequence[Operand]) -> int:
    """Room for parts and state."""
    return 4 * (_words(op) + op.units)


def step(op: Recurrent, at: Place, state: str, most: int = 0) -> Layer:
    """Print one step of a recurrent layer whose state and latest output are fields of the caller's ``state``."""
    form = _form(op, at, most)
    parts, output = f"(int32_t *)({at.scratch})", f"state->{state}_output"
    calls = (
        f"{form.parts}({form.layer}, {at.inputs[0].expression}, {output}, {parts});",
        f"{form.cell}({form.layer}, {parts}, state->{state}, {output});",
        f"bitq_concat({output}, 0, 1, {op.units}, {at.y}, {op.units});",
    )
    return Layer(op, form.constants, "\n    ".join(calls), ("bitq_concat", *form.runtime))


def step_scratch(op: Recurrent, inputs: Sequence[Operand]) -> int:
    """Room for the parts of one step."""
    return 4 * _words(op)


def start_of(op: Recurrent) -> int:
    """Return what C holds for a state of zero: that of a GRU lies where the curve of a sigmoid has its middle."""
    return 1 << LONG if op.cell == "gru" else 0


def _form(op: Recurrent, at: Place, most: int) -> _Form:
    x = at.inputs[0]
    time = x.type.shape[1]
    require(op, time <= UINT16_MAX, f"a sequence of {time} steps", f"at most {UINT16_MAX}")
    words = _words(op)
    require(op, words <= UINT16_MAX, f"{op.units} units", f"at most {UINT16_MAX} parts of gates")
    before = Operand(TensorType((op.units,), op.out.dtype, op.out.scale), 0, "before")
    step = Operand(TensorType((x.type.shape[-1],), x.type.dtype, x.type.scale, x.type.zero_point), x.flip, "x")
    state, first = _rolled(op.state, _apart(op)), op.input
    name, cell = f"{at.symbol}_parts", f"bitq_{op.cell}"
    runtime = ("bitq_curve", "bitq_tanh") if op.cell != "relu" else ()
    if _is_joint(op, most):
        cell = f"{at.symbol}_cell"
        constants = joint.gru(at.symbol, op, (step, before))
        runtime = joint.RUNTIME
    elif _is_straight(op, most):
        one = straight.dense(state, Place(f"{at.symbol}_state", (before,), "parts", "NULL"))
        behind = f"parts + {_apart(op)}" if _apart(op) else "parts"
        two = straight.dense(first, Place(f"{at.symbol}_input", (step,), behind, "NULL"), add=True)
        constants = [*one.constants, *two.constants, _parts(op, name, one.call, two.call)]
        runtime += (cell, *one.runtime, *two.runtime)
    else:
        constants, fields = linear_constants(state, f"{at.symbol}_state", before.zero)
        tables, more = linear_constants(first, f"{at.symbol}_input", step.zero, adds=True, flip=step.flip)
        name = "bitq_matrices"
        layer: Fields = [
            ("layer", nested(_fields(op, time, words, name, cell))),
            ("state", nested(fields)),
            ("input", nested(more)),
            ("apart", _apart(op)),
        ]
        constants += [*tables, struct(f"{at.symbol}_layer", "bitq_recurrent_matrices", layer)]
        kernels = [
            PACKINGS[part.weights.dtype.name].kernel_of(flip) for part, flip in ((op.state, 0), (op.input, step.flip))
        ]
        runtime += (cell, name, "bitq_dense", *kernels)
        return _Form(tuple(constants), f"&{at.symbol}_layer.layer", name, cell, runtime)
    constants.append(struct(f"{at.symbol}_layer", "bitq_recurrent", _fields(op, time, words, name, cell)))
    return _Form(tuple(constants), f"&{at.symbol}_layer", name, cell, runtime)


def _fields(op: Recurrent, time: int, words: int, parts: str, cell: str) -> Fields:
    steps = op.order(time)
    return [
        ("parts", parts),
        ("cell", cell),
        ("start", start_of(op)),
        ("inputs", op.input.weights.codes.shape[1]),
        ("units", op.units),
        ("words", words),
        ("first", steps[0]),
        ("steps", len(steps)),
        ("fraction", op.fraction),
        ("cell_fraction", op.cell_fraction),
        ("narrow", op.narrow),
        ("shift", op.shift),
        ("zero", byte_zero(op.out)),
        ("reverse", int(op.reverse)),
        ("whole", int(op.pick is None)),
    ]


def _parts(op: Recurrent, name: str, state: str, first: str) -> Constant:
    """Print the function that gives the parts of a step from straight-line code."""
    rows = op.kind.gates * op.units
    clear = [f"    for (uint32_t i = {rows}u; i < {rows + op.units}u; ++i) {{", "        parts[i] = 0;", "    }"]
    lines = [
        f"static void {name}(const bitq_recurrent *layer, const uint8_t *x, const uint8_t *before, int32_t *parts)",
        "{",
        "    (void)layer;",
        f"    {state}",
        *(clear if _apart(op) else []),
        f"    {first}",
        "}",
        "",
    ]
    return Constant(name, "\n".join(lines), 0)


def _is_straight(op: Recurrent, most: int) -> bool:
    return all(straight.covers(part) and part.weights.codes.size <= most for part in (op.input, op.state))


def _is_joint(op: Recurrent, most: int) -> bool:
    return op.cell == "gru" and _is_straight(op, most) and joint.covers(op)


def _apart(op: Recurrent) -> int:
    """Return how much later the parts of the input begin than those of the state."""
    return op.units if op.cell == "gru" else 0


def _words(op: Recurrent) -> int:
    """Return the numbers that the parts of a step take."""
    return op.kind.gates * op.units + _apart(op)


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
