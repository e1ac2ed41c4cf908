"""Convolutions in C: plain ones gather a patch for a kernel, groups and gaps slide unpacked taps over the input."""

from __future__ import annotations

from collections.abc import Sequence

from bitq.codegen.constants import Fields, nested, struct
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Operand, Place, require, window_fields
from bitq.codegen.ops.linear import linear_constants
from bitq.codegen.pack import PACKINGS
from bitq.ir.ops import Conv


def conv(op: Conv, at: Place) -> Layer:
    """Print a convolution."""
    return _grouped(op, at) if is_grouped(op) else _plain(op, at)


def scratch(op: Conv, inputs: Sequence[Operand]) -> int:
    """Room for the inputs, or for the taps, of one output."""
    return op.weights.matrix.shape[1]


def is_grouped(op: Conv) -> bool:
    """Whether a convolution is one for `bitq_grouped.c`, which knows groups and dilation."""
    return op.groups > 1 or op.dilation != (1, 1)


def _plain(op: Conv, at: Place) -> Layer:
    x = at.inputs[0]
    constants, linear = linear_constants(op, at.symbol, x.zero)
    window = window_fields(op, x, op.kernel, op.stride, op.padding)
    both: Fields = [("linear", nested(linear)), ("window", nested(window))]
    constants.append(struct(f"{at.symbol}_layer", "bitq_convolution", both))
    call = f"bitq_conv(&{at.symbol}_layer, {x.expression}, (uint8_t *)({at.scratch}), {at.y});"
    return Layer(op, tuple(constants), call, ("bitq_conv", PACKINGS[op.weights.dtype.name].kernel))


def _grouped(op: Conv, at: Place) -> Layer:
    x = at.inputs[0]
    bits = PACKINGS[op.weights.dtype.name].field_bits
    constants, linear = linear_constants(op, at.symbol, 0, kernel="NULL", planes=bits)
    window = window_fields(op, x, op.kernel, op.stride, op.padding)
    both: Fields = [("linear", nested(linear)), ("window", nested(window))]
    require(op, max(op.dilation) <= UINT16_MAX, f"a dilation of {max(op.dilation)}", f"at most {UINT16_MAX}")
    fields: Fields = [
        ("convolution", nested(both)),
        ("group_inputs", op.weights.codes.shape[3]),
        ("group_outputs", len(op.bias) // op.groups),
        ("dilation_y", op.dilation[0]),
        ("dilation_x", op.dilation[1]),
    ]
    constants.append(struct(f"{at.symbol}_layer", "bitq_groups", fields))
    call = f"bitq_grouped(&{at.symbol}_layer, {x.expression}, (int8_t *)({at.scratch}), {at.y});"
    return Layer(op, tuple(constants), call, ("bitq_grouped",))
