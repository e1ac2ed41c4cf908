"""Recurrent operators, as the torch modules that mean the same: gates in another order, directions side by side.

What torch, and so the chip, cannot express is refused: peepholes, clipped gates, other activations, a GRU that
resets before its recurrent matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitq.lowering.imports.call import Call, Handler
from bitq.lowering.imports.shapes import stacked
from bitq.lowering.imports.values import Const, Flow, View

_SIGMOID, _TANH = "Sigmoid", "Tanh"
_STEPS = (((1,), (2,), (0,), (3,)), ((0,), (1,), (2,), (3,)))  # by layout: axes of (batch, time, direction, unit)
_STATES = (((1,), (0,), (2,)), ((0,), (1,), (2,)))  # by layout: axes of (batch, direction, unit)


@dataclass(frozen=True)
class _Cell:
    """A recurrent operator.

    Attributes:
        kind: the torch module.
        gates: which of the file's gates each of torch's is.
        activations: of one direction; others are refused.
    """

    kind: type[nn.RNNBase]
    gates: tuple[int, ...]
    activations: tuple[str, ...]


_CELLS = {
    "RNN": _Cell(nn.RNN, (0,), (_TANH,)),
    "GRU": _Cell(nn.GRU, (1, 0, 2), (_SIGMOID, _TANH)),
    "LSTM": _Cell(nn.LSTM, (0, 2, 3, 1), (_SIGMOID, _TANH, _TANH)),
}


def recurrent(call: Call) -> tuple[Flow, ...]:
    """Return all steps, the last one, and an LSTM's cell after it."""
    cell, weight = _CELLS[call.kind], call.const(1)
    directions, units = len(weight.array), call.const(2).array.shape[2]
    options = _checked(call, cell, directions)
    first = call.attribute("layout", 0)  # whether the batch comes first
    x = call.into.real(call.inputs[0], (0, 1, 2) if first else (1, 0, 2))
    time, reverse = x.example.shape[1], call.attribute("direction", "forward") == "reverse"
    _require_whole(call, time)
    module = cell.kind(
        weight.array.shape[2], units, bias=call.has(3), batch_first=True, bidirectional=directions == 2, **options
    )
    if reverse:  # torch has no such direction alone
        x = call.into.apply(torch.flip, x, [1])
    node = call.into.recurrent(call.name, module, x, _weights(call, cell, directions, units))
    steps = Flow(call.into.split(node, 0), torch.zeros(1, time, directions * units, device="meta"))
    if reverse:
        steps = call.into.apply(torch.flip, steps, [1])
    found = [steps.through(View(steps.example, (1, time, directions, units), _STEPS[first]))]
    for places in [(1, 0), (1, 1)] if call.kind == "LSTM" else [(1,)]:
        each = [call.into.split(node, *places, number) for number in range(directions)]
        one = torch.zeros(1, units, device="meta")
        found.append(stacked(call, [Flow(part, one) for part in each], _STATES[first]))
    return tuple(found)


def _checked(call: Call, cell: _Cell, directions: int) -> dict[str, Any]:
    """Refuse what torch cannot express; return the options of the module."""
    named = call.attribute("activations", list(cell.activations) * directions)
    options = dict[str, Any]()
    if call.kind == "RNN" and set(named) == {"Relu"}:
        options["nonlinearity"] = "relu"
    else:
        wanted = list(cell.activations) * directions
        call.require(named == wanted, f"activations={named}; {wanted} are covered")
    call.require("clip" not in call.attributes, "clip is not covered; leave it out")
    call.require(not call.attribute("input_forget", 0), "input_forget=1 is not covered; use 0")
    call.require(not call.has(7), "peepholes are not covered; leave P out")
    call.require(
        call.kind != "GRU" or bool(call.attribute("linear_before_reset", 0)),
        "linear_before_reset=0 resets before the recurrent matrix; linear_before_reset=1 is covered, as torch has it "
        "and Keras with reset_after=True",
    )
    return options


def _require_whole(call: Call, time: int) -> None:
    """Refuse rows of several lengths, and first states that are not zero."""
    if call.has(4):
        whole = bool((call.array(4) == time).all())
        call.require(whole, f"sequence_lens={call.array(4).tolist()}; all {time} steps of every row are covered")
    for place in (5, 6):
        zero = not call.has(place) or (isinstance(call.tensor(place), Const) and not call.array(place).any())
        call.require(zero, "its first state is not zero; leave it out")


def _weights(call: Call, cell: _Cell, directions: int, units: int) -> dict[str, Const]:
    """Return matrices and biases by the names that torch gives them."""
    rows = np.concatenate([np.arange(units) + gate * units for gate in cell.gates])
    found = dict[str, Const]()
    for number in range(directions):
        suffix = "_l0_reverse" if number else "_l0"
        for place, name in ((1, "weight_ih"), (2, "weight_hh")):
            found[name + suffix] = _picked(call.const(place), number, rows)
        if call.has(3):
            both = call.const(3).array.reshape(directions, 2, -1)[number]
            found["bias_ih" + suffix], found["bias_hh" + suffix] = (Const(part[rows]) for part in both)
    return found


def _picked(weight: Const, number: int, rows: NDArray[np.int64]) -> Const:
    scale = None if weight.scale is None else np.broadcast_to(weight.scale, weight.array.shape)[number][rows]
    codes = None if weight.codes is None else weight.codes[number][rows]
    return Const(weight.array[number][rows], codes, scale)


RECURRENT: dict[str, Handler] = dict.fromkeys(_CELLS, recurrent)
"""Rows for the table of all operators."""
