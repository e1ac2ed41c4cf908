"""Dense layers of 8-bit weights, four outputs at once, so that each input is read once for all of them."""

from __future__ import annotations

import numpy as np

from bitq.codegen.constants import table
from bitq.codegen.ops.layer import Layer, Place
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.straight import finish
from bitq.codegen.pack import Bytes, pack
from bitq.ir.ops import Dense
from bitq.ir.types import INT8, Weights

_SIDE = 4  # outputs, and inputs, of one block of weights


def covers(op: Dense) -> bool:
    """Whether a layer has this form: weights of 8 bits, whole blocks of inputs."""
    return op.weights.dtype is INT8 and op.weights.matrix.shape[1] % _SIDE == 0


def blocks(weights: Weights) -> Bytes:
    """Pack 8-bit weights: of each four outputs those for the same four inputs side by side.

    Outputs that are left over follow row by row.
    """
    packed = pack(weights.matrix.astype(np.int8), weights.dtype)
    whole = len(packed) - len(packed) % _SIDE
    # (four outputs, output, four inputs, input) -> (four outputs, four inputs, output, input)
    split = packed[:whole].reshape(-1, _SIDE, packed.shape[1] // _SIDE, _SIDE).transpose(0, 2, 1, 3)
    return np.concatenate([split.ravel(), packed[whole:].ravel()])


def dense(op: Dense, at: Place) -> Layer:
    """Print a dense layer: a function that finishes the sums."""
    x = at.inputs[0]
    outputs, inputs = op.weights.matrix.shape
    weights = table(f"{at.symbol}_weights", blocks(op.weights))
    sums = f"bitq_quad_sums({weights.name}, x, {x.flip}, {inputs}, {outputs}, totals);"
    tables, call = finish(op, at, x.zero, sums, outputs)
    return Layer(op, (weights, *tables), call, ("bitq_quad_sums",))


DENSE = Printer(dense)
