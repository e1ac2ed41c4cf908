"""Pools in C, and changes of scale, which are averages over one element."""

from __future__ import annotations

from bitq.codegen.constants import Constant, struct
from bitq.codegen.ops.layer import Layer, Place, rescale_constants, window_fields
from bitq.ir.ops import NO_PADDING, AvgPool, MaxPool, Pair, Requantize


def max_pool(op: MaxPool, at: Place) -> Layer:
    """Print a max pool."""
    x = at.inputs[0]
    window = struct(f"{at.symbol}_window", "bitq_window", window_fields(op, x, op.kernel, op.stride, op.padding))
    return Layer(op, (window,), f"bitq_max_pool(&{window.name}, {x.expression}, {at.y});", ("bitq_max_pool",))


def avg_pool(op: AvgPool, at: Place) -> Layer:
    """Print an average pool."""
    return _average(op, at, op.kernel, op.stride)


def requantize(op: Requantize, at: Place) -> Layer:
    """Print a change of scale."""
    return _average(op, at, (1, 1), (1, 1))


def _average(op: AvgPool | Requantize, at: Place, kernel: Pair, stride: Pair) -> Layer:
    x = at.inputs[0]
    constants: list[Constant] = rescale_constants(op, op.rescale, at.symbol)
    rescale = constants[-1].name
    window = struct(f"{at.symbol}_window", "bitq_window", window_fields(op, x, kernel, stride, NO_PADDING))
    call = f"bitq_average(&{window.name}, &{rescale}, {x.expression}, {at.y});"
    return Layer(op, (*constants, window), call, ("bitq_average",))
