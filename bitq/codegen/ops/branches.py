"""What joins branches in C: a sum, a product, channels side by side, or how far they are apart."""

from __future__ import annotations

from bitq.codegen.constants import Fields, struct
from bitq.codegen.ops.layer import Layer, Place, places_and_channels, rescale_constants
from bitq.ir.ops import Add, Concat, Mul, SquaredError


def add(op: Add, at: Place) -> Layer:
    """Print a sum of two values."""
    first, second = at.inputs
    constants = rescale_constants(op, op.rescale, at.symbol)
    fields: Fields = [
        ("rescale", f"&{constants[-1].name}"),
        ("count", op.out.size),
        ("multiplier", f"{{{op.multipliers[0]}, {op.multipliers[1]}}}"),
        ("zero", f"{{{first.zero}, {second.zero}}}"),
        ("flip", f"{{{first.flip}, {second.flip}}}"),
    ]
    constants.append(struct(f"{at.symbol}_sum", "bitq_sum", fields))
    call = f"bitq_add(&{at.symbol}_sum, {first.expression}, {second.expression}, {at.y});"
    return Layer(op, tuple(constants), call, ("bitq_add",))


def mul(op: Mul, at: Place) -> Layer:
    """Print a product of two values, the second with steps of its own."""
    first, second = at.inputs
    places, channels = places_and_channels(op, first.type.shape)
    each = second.type.shape[-1]
    constants = rescale_constants(op, op.rescale, at.symbol)
    fields: Fields = [
        ("rescale", f"&{constants[-1].name}"),
        ("places", places),
        ("channels", channels),
        ("place_step", each if second.type.size > each else 0),
        ("channel_step", int(each > 1)),
        ("zero", f"{{{first.zero}, {second.zero}}}"),
        ("flip", f"{{{first.flip}, {second.flip}}}"),
    ]
    constants.append(struct(f"{at.symbol}_product", "bitq_product", fields))
    call = f"bitq_multiply(&{at.symbol}_product, {first.expression}, {second.expression}, {at.y});"
    return Layer(op, tuple(constants), call, ("bitq_multiply",))


def concat(op: Concat, at: Place) -> Layer:
    """Print one call per value that is joined."""
    step, first, calls = op.out.shape[-1], 0, list[str]()
    for x in at.inputs:
        width = x.type.shape[-1]
        places = x.type.size // width
        y = f"{at.y} + {first}" if first else at.y
        calls.append(f"bitq_concat({x.expression}, {x.flip}, {places}, {width}, {y}, {step});")
        first += width
    return Layer(op, (), "\n    ".join(calls), ("bitq_concat",))


def squared_error(op: SquaredError, at: Place) -> Layer:
    """Print an assignment to its place in memory."""
    first, second = at.inputs
    values = f"{first.expression}, {first.flip}, {second.expression}, {second.flip}, {first.type.size}"
    return Layer(op, (), f"*({at.y}) = bitq_squared_error({values});", ("bitq_squared_error",))
