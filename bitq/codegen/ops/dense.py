"""Dense layers in C."""

from __future__ import annotations

from bitq.codegen.constants import struct
from bitq.codegen.ops.layer import Layer, Place
from bitq.codegen.ops.linear import linear_constants
from bitq.codegen.pack import PACKINGS
from bitq.ir.ops import Dense


def dense(op: Dense, at: Place) -> Layer:
    """Print a dense layer."""
    x = at.inputs[0]
    constants, fields = linear_constants(op, at.symbol, x.zero, flip=x.flip)
    constants.append(struct(f"{at.symbol}_layer", "bitq_linear", fields))
    call = f"bitq_dense(&{at.symbol}_layer, {x.expression}, {at.y});"
    return Layer(op, tuple(constants), call, ("bitq_dense", PACKINGS[op.weights.dtype.name].kernel_of(x.flip)))
