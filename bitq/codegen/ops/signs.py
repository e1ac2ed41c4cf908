"""Dense layers whose weights have 1 bit and whose inputs have 7, four products at once.

With ``USADA8`` of the DSP extension four products take two instructions; other cores do the same with more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import table
from bitq.codegen.ops.layer import Layer, Place
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.straight import finish
from bitq.ir.ops import Dense
from bitq.ir.types import BIPOLAR, UINT7, TensorType, Weights

_ROWS = 4  # outputs whose weights lie side by side
_INPUTS = 32  # of one word of weights
_MIDDLE = 64  # inputs count from here


def covers(op: Dense, x: TensorType) -> bool:
    """Whether a layer has this form: its inputs are whole words of 7-bit activations, its weights have 1 bit."""
    return op.weights.dtype is BIPOLAR and x.dtype is UINT7 and op.weights.matrix.shape[1] % 4 == 0


def words(weights: Weights) -> NDArray[np.int32]:
    """Pack signs: for each four outputs and each 32 inputs four words of four bytes.

    Bit ``7 − k`` of byte i, the lowest first, is set for a weight of −1 at input ``4 k + i``. Outputs and inputs
    that are missing count as +1; the kernel reads whole words of inputs only.
    """
    minus = weights.matrix < 0
    outputs, inputs = minus.shape
    minus = np.pad(minus, ((0, -outputs % _ROWS), (0, -inputs % _INPUTS)))
    # (four outputs, output, 32 inputs, k, byte) -> (four outputs, 32 inputs, output, byte, k)
    split = minus.reshape(-1, _ROWS, minus.shape[1] // _INPUTS, 8, 4).transpose(0, 2, 1, 4, 3)
    return np.packbits(split, axis=4).ravel().view("<i4").astype(np.int32)


def dense(op: Dense, at: Place) -> Layer:
    """Print a dense layer: a function that finishes the sums."""
    x = at.inputs[0]
    outputs, inputs = op.weights.matrix.shape
    signs = table(f"{at.symbol}_weights", words(op.weights))
    room = outputs + -outputs % _ROWS
    sums = f"bitq_sign_sums({signs.name}, x, {inputs}, {room}, totals);"
    tables, call = finish(op, at, x.zero - _MIDDLE, sums, room)
    return Layer(op, (signs, *tables), call, ("bitq_sign_sums",))


DENSE = Printer(dense)
