"""Statistics of a signal in C."""

from __future__ import annotations

from bitq.codegen.constants import Fields, struct
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Place, require
from bitq.ir.ops import Features
from bitq.ir.ops.features import KINDS


def features(op: Features, at: Place) -> Layer:
    """Print statistics."""
    x = at.inputs[0]
    _, time, channels = x.type.shape
    skipped = (time - op.window * op.windows) * channels
    sizes: Fields = [("skipped", skipped), ("window", op.window), ("channels", channels), ("windows", op.windows)]
    largest = max(skipped, channels, op.windows)
    require(op, largest <= UINT16_MAX, f"a dimension of {largest}", f"at most {UINT16_MAX}")
    fields: Fields = [
        *sizes,
        ("kinds", sum(1 << bit for bit, kind in enumerate(KINDS) if kind in op.kinds)),
        ("shift", "{" + ", ".join(str(op.shifts[kind]) for kind in KINDS) + "}"),
        ("flip", x.flip),
    ]
    layer = struct(f"{at.symbol}_statistics", "bitq_statistics", fields)
    return Layer(op, (layer,), f"bitq_features(&{layer.name}, {x.expression}, {at.y});", ("bitq_features",))
