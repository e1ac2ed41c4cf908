"""The integer arithmetic of recurrent cells, to the bit: tanh and sigmoid from one table, and one step of each cell.

A cell reads the parts of its gates, ``a`` from the input and ``b`` from the state before, biases included: integers
that stand for ``part / 2^fraction`` in both, so they are added up before anything is rounded. Gates have 15 bits
behind the point and what they multiply has 16 in all, so every product fits in int32; the state of a GRU keeps all
30 bits of it. What the next step and the next layer read is the result of a cell, rounded to 8 bits.

The formulas are those of ``torch.nn.RNN``, ``LSTM`` and ``GRU``, whose order of gates is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitq.ir.types import INT8, INT16, UINT8, DType

Values = NDArray[np.int64]


class Points(NamedTuple):
    """Where the points of a cell's numbers are.

    Attributes:
        fraction: bits behind the point of parts.
        cell_fraction: the same of an LSTM's cell.
        narrow: bits that the state's part of a GRU's new gate drops before the reset gate multiplies it.
    """

    fraction: int
    cell_fraction: int
    narrow: int


Step = Callable[[Values, Values, Values, Points], tuple[Values, Values]]
"""From ``a``, ``b`` ``(n, gates, units)``, state ``(n, units)`` and points to state and result."""

CELL = INT16.high  # an LSTM's cell lies within ±CELL
ONE = 14  # bits behind the point of tanh
LONG = 30  # of a GRU's state
GATE = 15  # of gates
REST = 15  # bits of a number between two entries of the table
FRACTIONS = (5, 26)  # of parts
CELL_FRACTIONS = (5, 14)  # of an LSTM's cell
NARROWS = (0, GATE)
TABLE: Values = np.rint(np.tanh(np.minimum(np.arange(65), 63) / 16) * (1 << ONE)).astype(np.int64)
"""``tanh(i / 16)`` up to 63, where it stays: linear in between, it is off by at most 2^−10.4."""
_ENDS = len(TABLE) - 1
_SIGNED = np.concatenate([-TABLE[:0:-1], TABLE])


def long_tanh(value: Values, fraction: int) -> Values:
    """Return ``tanh(value / 2^fraction)`` with 30 bits behind the point."""
    bits = fraction - 4
    index = np.clip(value >> bits, -_ENDS, _ENDS - 1) + _ENDS
    rest = ((value & ((1 << bits) - 1)) << REST) >> bits
    return (_SIGNED[index] << (LONG - ONE)) + (_SIGNED[index + 1] - _SIGNED[index]) * 2 * (rest + 1)


def tanh(value: Values, fraction: int) -> Values:
    """Return the same with 14 bits, −16372..16372."""
    return long_tanh(value, fraction) >> (LONG - ONE)


def sigmoid(value: Values, fraction: int) -> Values:
    """Return ``1 / (1 + exp(−value / 2^fraction)) = (1 + tanh(value / 2^(fraction + 1))) / 2`` with 15 bits."""
    return (1 << ONE) + tanh(value, fraction + 1)


def output(value: Values, shift: int, dtype: DType) -> Values:
    """Return the result of a cell in 8 bits, in steps of ``2^shift``, rounded half up."""
    return np.clip((value + (1 << (shift - 1))) >> shift, dtype.low, dtype.high)


def _times(gate: Values, value: Values) -> Values:
    return (gate * value + (1 << (GATE - 1))) >> GATE


def _rnn(a: Values, b: Values, state: Values, points: Points) -> tuple[Values, Values]:
    return state, tanh(a[:, 0] + b[:, 0], points.fraction)


def _relu(a: Values, b: Values, state: Values, points: Points) -> tuple[Values, Values]:
    return state, a[:, 0] + b[:, 0]


def _gru(a: Values, b: Values, state: Values, points: Points) -> tuple[Values, Values]:
    reset, update = (sigmoid(a[:, gate] + b[:, gate], points.fraction) for gate in (0, 1))
    kept = reset * (b[:, 2] >> points.narrow) >> (GATE - points.narrow)
    new = long_tanh(a[:, 2] + kept, points.fraction)
    state = new + update * (2 * ((state - new) >> (LONG - ONE)) + 1)
    return state, state


def _lstm(a: Values, b: Values, state: Values, points: Points) -> tuple[Values, Values]:
    both = a + b
    take, keep, give = (sigmoid(both[:, gate], points.fraction) for gate in (0, 1, 3))
    new = (take * tanh(both[:, 2], points.fraction)) >> (ONE - points.cell_fraction)
    cell = np.clip((keep * state + new + (1 << (GATE - 1))) >> GATE, -CELL, CELL)
    return cell, _times(give, tanh(cell, points.cell_fraction))


@dataclass(frozen=True)
class Cell:
    """One kind of recurrent cell.

    Attributes:
        gates: blocks of rows of its matrices.
        step: its arithmetic.
        out: type of its output.
        shifts: from a result to that; one of a tanh or between tanhs is at most 1.
    """

    gates: int
    step: Step
    out: DType
    shifts: tuple[int, int]


CELLS = {
    "rnn": Cell(1, _rnn, INT8, (1, ONE - 7)),
    "relu": Cell(1, _relu, UINT8, FRACTIONS),
    "gru": Cell(3, _gru, INT8, (1, LONG - 7)),
    "lstm": Cell(4, _lstm, INT8, (1, ONE - 7)),
}
"""By name; ``rnn`` has tanh, ``relu`` is torch's ``nonlinearity='relu'``."""
