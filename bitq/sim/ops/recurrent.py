"""Recurrent layers in torch, whose biases and multipliers can be trained through time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bitq.ir import ops
from bitq.ir.cells import ONE, PART, TABLE
from bitq.ir.ops import Op
from bitq.ir.types import TensorType
from bitq.sim.exact import floor, tensor
from bitq.sim.ops.linear import Dense
from bitq.sim.ops.operation import Operation

Step = Callable[[Tensor, Tensor, Tensor, int, int], tuple[Tensor, Tensor]]
_TABLE = tensor(TABLE)


def tanh(value: Tensor, fraction: int) -> Tensor:
    """`bitq.ir.cells.tanh`; its gradient is the slope of the table there."""
    shift = fraction - 4
    sign = torch.where(value.detach() < 0, -1.0, 1.0)
    size = (value * sign).clamp(max=(4 << fraction) - 1)
    index = torch.floor(size.detach() * 2.0**-shift).long()
    left = _TABLE[index]
    between = (_TABLE[index + 1] - left) * (size - index * 2.0**shift) * 2.0**-shift
    return sign * (left + (floor(between + 0.5) if shift else between))


def sigmoid(value: Tensor, fraction: int) -> Tensor:
    """`bitq.ir.cells.sigmoid`."""
    return floor((2.0**ONE + tanh(value, fraction + 1)) * 0.5)


def _times(gate: Tensor, value: Tensor) -> Tensor:
    return floor(gate * value * 2.0**-ONE + 0.5)


def _rnn(a: Tensor, b: Tensor, state: Tensor, fraction: int, cell_fraction: int) -> tuple[Tensor, Tensor]:
    return state, tanh((a + b)[:, 0], fraction)


def _relu(a: Tensor, b: Tensor, state: Tensor, fraction: int, cell_fraction: int) -> tuple[Tensor, Tensor]:
    return state, (a + b)[:, 0]


def _gru(a: Tensor, b: Tensor, state: Tensor, fraction: int, cell_fraction: int) -> tuple[Tensor, Tensor]:
    reset, update = sigmoid((a + b)[:, :2], fraction).unbind(1)
    new = tanh(a[:, 2] + _times(reset, b[:, 2]), fraction)
    state = new + _times(update, state - new)
    return state, state


def _lstm(a: Tensor, b: Tensor, state: Tensor, fraction: int, cell_fraction: int) -> tuple[Tensor, Tensor]:
    take, keep, give = sigmoid((a + b)[:, [0, 1, 3]], fraction).unbind(1)
    new = floor(take * tanh((a + b)[:, 2], fraction) * 2.0 ** (cell_fraction - ONE))
    cell = floor((keep * state + new) * 2.0**-ONE + 0.5).clamp(-PART, PART)
    return cell, _times(give, tanh(cell, cell_fraction))


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
            state, result = STEPS[op.cell](a, b, state, op.fraction, op.cell_fraction)
            value = floor(result * 2.0**-op.shift + 0.5).clamp(op.out.dtype.low, op.out.dtype.high)
            kept[step] = out = value.float()
        return out if op.pick is not None else torch.stack([kept[step] for step in sorted(kept)], 1)[:, None]

    def trained(self) -> Op:
        """Return the operation with both trained matrices."""
        return replace(self.op, input=self.input.trained(), state=self.state.trained())
