"""Recurrent layers in torch, whose biases and multipliers can be trained through time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bitq.ir import ops
from bitq.ir.cells import CELL, GATE, LONG, ONE, REST, TABLE, Points
from bitq.ir.ops import Op
from bitq.ir.types import TensorType
from bitq.sim.exact import floor, tensor
from bitq.sim.ops.linear import Dense
from bitq.sim.ops.operation import Operation

Step = Callable[[Tensor, Tensor, Tensor, Points], tuple[Tensor, Tensor]]
_TABLE = tensor(np.concatenate([-TABLE[:0:-1], TABLE]))
_ENDS = len(TABLE) - 1


def long_tanh(value: Tensor, fraction: int) -> Tensor:
    """`bitq.ir.cells.long_tanh`; its gradient is the slope of the table there."""
    step = 2.0 ** (fraction - 4)
    index = torch.floor(value.detach() / step)
    rest = floor((value - index * step) * (2.0**REST / step)) + 1
    at = index.clamp(-_ENDS, _ENDS - 1).long() + _ENDS
    left = _TABLE[at]
    return left * 2.0 ** (LONG - ONE) + (_TABLE[at + 1] - left) * rest * 2


def tanh(value: Tensor, fraction: int) -> Tensor:
    """`bitq.ir.cells.tanh`."""
    return floor(long_tanh(value, fraction) * 2.0 ** (ONE - LONG))


def sigmoid(value: Tensor, fraction: int) -> Tensor:
    """`bitq.ir.cells.sigmoid`."""
    return 2.0**ONE + tanh(value, fraction + 1)


def _times(gate: Tensor, value: Tensor) -> Tensor:
    return floor(gate * value * 2.0**-GATE + 0.5)


def _rnn(a: Tensor, b: Tensor, state: Tensor, points: Points) -> tuple[Tensor, Tensor]:
    return state, tanh((a + b)[:, 0], points.fraction)


def _relu(a: Tensor, b: Tensor, state: Tensor, points: Points) -> tuple[Tensor, Tensor]:
    return state, (a + b)[:, 0]


def _gru(a: Tensor, b: Tensor, state: Tensor, points: Points) -> tuple[Tensor, Tensor]:
    reset, update = sigmoid((a + b)[:, :2], points.fraction).unbind(1)
    kept = floor(reset * floor(b[:, 2] * 2.0**-points.narrow) * 2.0 ** (points.narrow - GATE))
    new = long_tanh(a[:, 2] + kept, points.fraction)
    state = new + update * (2 * floor((state - new) * 2.0 ** (ONE - LONG)) + 1)
    return state, state


def _lstm(a: Tensor, b: Tensor, state: Tensor, points: Points) -> tuple[Tensor, Tensor]:
    take, keep, give = sigmoid((a + b)[:, [0, 1, 3]], points.fraction).unbind(1)
    new = floor(take * tanh((a + b)[:, 2], points.fraction) * 2.0 ** (points.cell_fraction - ONE))
    cell = floor((keep * state + new) * 2.0**-GATE + 0.5).clamp(-CELL, CELL)
    return cell, _times(give, tanh(cell, points.cell_fraction))


STEPS: dict[str, Step] = {"rnn": _rnn, "relu": _relu, "gru": _gru, "lstm": _lstm}
"""One row per cell of `bitq.ir.cells`, with the same arguments in float64."""


class Recurrent(Operation):
    """`bitq.ir.ops.Recurrent`."""

    def __init__(self, op: ops.Recurrent, types: tuple[TensorType, ...]) -> None:
        super().__init__(op, types)
        (first, reads), (second, before) = op.parts(types[0])
        self.input, self.state = Dense(first, (reads,)), Dense(second, (before,))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Run the cell."""
        op: ops.Recurrent = self.op
        x, rows = inputs[0][:, 0], (-1, op.kind.gates, op.units)
        state = torch.zeros(len(x), op.units, dtype=torch.float64)
        out, kept = state.float(), dict[int, Tensor]()
        for step in op.order(x.shape[1]):
            a, b = self.input(x[:, step]).double().reshape(rows), self.state(out).double().reshape(rows)
            state, result = STEPS[op.cell](a, b, state, op.points)
            value = floor(result * 2.0**-op.shift + 0.5).clamp(op.out.dtype.low, op.out.dtype.high)
            kept[step] = out = value.float()
        return out if op.pick is not None else torch.stack([kept[step] for step in sorted(kept)], 1)[:, None]

    def trained(self) -> Op:
        """Return the operation with both trained matrices."""
        return replace(self.op, input=self.input.trained(), state=self.state.trained())
