"""What only moves bytes in C: a border, a slice, a transpose."""

from __future__ import annotations

from bitq.codegen.constants import Fields, struct
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Place, require
from bitq.ir.ops import Pad, View


def pad(op: Pad, at: Place) -> Layer:
    """Print a border."""
    x = at.inputs[0]
    height, width, channels = x.type.shape
    (top, bottom), (left, right) = op.padding
    sizes: Fields = [
        ("height", height),
        ("row", width * channels),
        ("top", top),
        ("bottom", bottom),
        ("left", left * channels),
        ("right", right * channels),
    ]
    largest = max(int(size) for _, size in sizes)
    require(op, largest <= UINT16_MAX, f"a row or border of {largest}", f"at most {UINT16_MAX}")
    fields: Fields = [*sizes, ("value", op.value - x.type.dtype.low), ("flip", x.flip)]
    border = struct(f"{at.symbol}_border", "bitq_border", fields)
    return Layer(op, (border,), f"bitq_pad(&{border.name}, {x.expression}, {at.y});", ("bitq_pad",))


def view(op: View, at: Place) -> Layer:
    """Print what is picked."""
    x = at.inputs[0]
    fill = 3 - len(op.strides)
    sizes, steps = (*[1] * fill, *op.out.shape), (*[0] * fill, *op.strides)
    require(op, max(sizes) <= UINT16_MAX, f"a dimension of {max(sizes)}", f"at most {UINT16_MAX}")
    fields: Fields = [("step", _list(steps)), ("size", _list(sizes))]
    picks = struct(f"{at.symbol}_picks", "bitq_picks", fields)
    source = f"{x.expression} + {op.offset}" if op.offset else x.expression
    return Layer(op, (picks,), f"bitq_pick(&{picks.name}, {x.flip}, {source}, {at.y});", ("bitq_pick",))


def _list(values: tuple[int, ...]) -> str:
    return f"{{{', '.join(map(str, values))}}}"
