"""Pools in C, and changes of scale, which are averages over one element."""

from __future__ import annotations

import math

from bitq.codegen.constants import Constant, Fields, struct
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Place, require, rescale_constants, window_fields
from bitq.ir.ops import NO_PADDING, AvgPool, MaxPool, Pair, Requantize


def max_pool(op: MaxPool, at: Place) -> Layer:
    """Print a max pool."""
    x = at.inputs[0]
    window = struct(f"{at.symbol}_window", "bitq_window", window_fields(op, x, op.kernel, op.stride, op.padding))
    function = "bitq_max_inside" if op.padding == NO_PADDING else "bitq_max_pool"
    return Layer(op, (window,), f"{function}(&{window.name}, {x.expression}, {at.y});", (function,))


def avg_pool(op: AvgPool, at: Place) -> Layer:
    """Print an average pool."""
    places, channels = math.prod(at.inputs[0].type.shape[:2]), at.inputs[0].type.shape[2]
    if math.prod(op.kernel) == places <= UINT16_MAX:
        return _mean(op, at, places, channels)
    return _average(op, at, op.kernel, op.stride)


def requantize(op: Requantize, at: Place) -> Layer:
    """Print a change of scale."""
    return _average(op, at, (1, 1), (1, 1))


def _mean(op: AvgPool, at: Place, places: int, channels: int) -> Layer:
    x = at.inputs[0]
    constants = rescale_constants(op, op.rescale, at.symbol)
    require(op, channels <= UINT16_MAX, f"{channels} channels", f"at most {UINT16_MAX}")
    fields: Fields = [
        ("rescale", f"&{constants[-1].name}"),
        ("start", -places * x.zero),
        ("places", places),
        ("channels", channels),
        ("flip", x.flip),
    ]
    whole = struct(f"{at.symbol}_whole", "bitq_whole", fields)
    return Layer(op, (*constants, whole), f"bitq_mean(&{whole.name}, {x.expression}, {at.y});", ("bitq_mean",))


def _average(op: AvgPool | Requantize, at: Place, kernel: Pair, stride: Pair) -> Layer:
    x = at.inputs[0]
    constants: list[Constant] = rescale_constants(op, op.rescale, at.symbol)
    rescale = constants[-1].name
    window = struct(f"{at.symbol}_window", "bitq_window", window_fields(op, x, kernel, stride, NO_PADDING))
    call = f"bitq_average(&{window.name}, &{rescale}, {x.expression}, {at.y});"
    return Layer(op, (*constants, window), call, ("bitq_average",))
