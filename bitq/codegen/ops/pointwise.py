"""What takes every element by itself in C: tables and ramps."""

from __future__ import annotations

import numpy as np

from bitq.codegen.constants import Fields, struct, table
from bitq.codegen.ops.layer import Layer, Place, places_and_channels, rescale_constants
from bitq.ir.ops import Lookup, Ramp


def lookup(op: Lookup, at: Place) -> Layer:
    """Print a table; its bytes are as the engine holds them."""
    x = at.inputs[0]
    entries = table(f"{at.symbol}_table", (op.table.astype(np.int64) - op.out.dtype.low).astype(np.uint8))
    call = f"bitq_lookup({entries.name}, {x.flip}, {x.expression}, {at.y}, {op.out.size});"
    return Layer(op, (entries,), call, ("bitq_lookup",))


def ramp(op: Ramp, at: Place) -> Layer:
    """Print slopes and offsets."""
    x = at.inputs[0]
    places, channels = places_and_channels(op, x.type.shape)
    positive = table(f"{at.symbol}_positive", op.positive)
    # A line that goes straight on needs its slopes once.
    same = np.array_equal(op.positive, op.negative)
    negative = positive if same else table(f"{at.symbol}_negative", op.negative)
    offset = table(f"{at.symbol}_offset", op.offset)
    rescale = rescale_constants(op, op.rescale, at.symbol)
    fields: Fields = [
        ("rescale", f"&{rescale[-1].name}"),
        ("positive", positive.name),
        ("negative", negative.name),
        ("offset", offset.name),
        ("places", places),
        ("channels", channels),
        ("step", int(len(op.positive) > 1)),
        ("zero", x.zero),
        ("flip", x.flip),
    ]
    layer = struct(f"{at.symbol}_layer", "bitq_slopes", fields)
    tables = (positive, offset) if same else (positive, negative, offset)
    return Layer(op, (*tables, *rescale, layer), f"bitq_ramp(&{layer.name}, {x.expression}, {at.y});", ("bitq_ramp",))
