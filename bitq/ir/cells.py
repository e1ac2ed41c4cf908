"""The integer arithmetic of recurrent cells, to the bit: tanh and sigmoid from one table, and one step of each cell.

A cell reads the parts of its gates, integers within ±32767 that stand for ``part / 2^fraction``: ``a`` from the input
and ``b`` from the state before, biases included. Gates, tanh and states are 16-bit fractions of one, so every product
fits in int32; what the next step and the next layer read is the result of a cell, rounded to 8 bits.

The formulas are those of ``torch.nn.RNN``, ``LSTM`` and ``GRU``, whose order of gates is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.types import INT8, INT16, UINT8, DType

Values = NDArray[np.int64]
Step = Callable[[Values, Values, Values, int, int], tuple[Values, Values]]
"""From ``a``, ``b`` ``(n, gates, units)``, state ``(n, units)``, fraction and cell fraction to state and result."""

PART = INT16.high  # parts lie within ±PART
ONE = 15  # bits behind the point of gates, tanh and states
FRACTIONS = (4, 12)  # of parts; 12 bits leave ±8, where a sigmoid has reached its ends
CELL_FRACTIONS = (4, 14)  # of an LSTM's cell
SHIFTS = (1, 8)  # from a result of 16 bits to an output of 8
TABLE: Values = np.rint(np.tanh(np.arange(65) / 16) * INT16.high).astype(np.int64)
"""``tanh(i / 16)`` for 0 to 4, where it stays: linear in between, it is off by at most 2^−10.5."""


def tanh(value: Values, fraction: int) -> Values:
    """Return the 16-bit ``tanh(value / 2^fraction)``, −32745..32745."""
    shift = fraction - 4
    size = np.minimum(np.abs(value), (4 << fraction) - 1)
    index, rest = size >> shift, size & ((1 << shift) - 1)
    between = ((TABLE[index + 1] - TABLE[index]) * rest + (1 << shift >> 1)) >> shift
    return np.where(value < 0, -1, 1) * (TABLE[index] + between)


def sigmoid(value: Values, fraction: int) -> Values:
    """Return the 16-bit ``1 / (1 + exp(−value / 2^fraction)) = (1 + tanh(value / 2^(fraction + 1))) / 2``."""
    return ((1 << ONE) + tanh(value, fraction + 1)) >> 1


def output(value: Values, shift: int, dtype: DType) -> Values:
    """Return the result of a cell in 8 bits, in steps of ``2^shift``, rounded half up."""
    return np.clip((value + (1 << (shift - 1))) >> shift, dtype.low, dtype.high)


def _times(gate: Values, value: Values) -> Values:
    return (gate * value + (1 << (ONE - 1))) >> ONE


def _rnn(a: Values, b: Values, state: Values, fraction: int, cell_fraction: int) -> tuple[Values, Values]:
    return state, tanh(a[:, 0] + b[:, 0], fraction)


def _relu(a: Values, b: Values, state: Values, fraction: int, cell_fraction: int) -> tuple[Values, Values]:
    return state, a[:, 0] + b[:, 0]


def _gru(a: Values, b: Values, state: Values, fraction: int, cell_fraction: int) -> tuple[Values, Values]:
    reset, update = sigmoid(a[:, 0] + b[:, 0], fraction), sigmoid(a[:, 1] + b[:, 1], fraction)
    new = tanh(a[:, 2] + _times(reset, b[:, 2]), fraction)
    state = new + _times(update, state - new)
    return state, state


def _lstm(a: Values, b: Values, state: Values, fraction: int, cell_fraction: int) -> tuple[Values, Values]:
    both = a + b
    take, keep, give = (sigmoid(both[:, gate], fraction) for gate in (0, 1, 3))
    new = (take * tanh(both[:, 2], fraction)) >> (ONE - cell_fraction)
    cell = np.clip((keep * state + new + (1 << (ONE - 1))) >> ONE, -PART, PART)
    return cell, _times(give, tanh(cell, cell_fraction))


@dataclass(frozen=True)
class Cell:
    """One kind of recurrent cell.

    Attributes:
        gates: blocks of rows of its matrices.
        step: its arithmetic.
        out: type of its output.
        largest: bound of every sum and product of a step that its parts enter, for any cell fraction.
    """

    gates: int
    step: Step
    out: DType
    largest: int


_HALF = 1 << (ONE - 1)
_PRODUCT = PART * PART + _HALF  # a gate is at most 32767 and so is what it multiplies
CELLS = {
    "rnn": Cell(1, _rnn, INT8, 2 * PART),
    "relu": Cell(1, _relu, UINT8, 2 * PART),
    "gru": Cell(3, _gru, INT8, 2 * PART * PART + _HALF),
    "lstm": Cell(4, _lstm, INT8, _PRODUCT + (PART * PART >> 1)),
}
"""By name; ``rnn`` has tanh, ``relu`` is torch's ``nonlinearity='relu'``."""
