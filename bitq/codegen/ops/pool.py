"""Pools in C, and changes of scale, which are averages over one element."""

from __future__ import annotations

import math

import numpy as np

from bitq.codegen.constants import Constant, Fields, struct
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Place, require, rescale_constants, window_fields
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.straight import added, out_type, scaled
from bitq.ir.ops import NO_PADDING, AvgPool, MaxPool, Pair, Requantize
from bitq.ir.types import TensorType

_TOGETHER = 8  # places that are added in one turn of a printed loop, at most


def max_pool(op: MaxPool, at: Place) -> Layer:
    """Print a max pool."""
    x = at.inputs[0]
    window = struct(f"{at.symbol}_window", "bitq_window", window_fields(op, x, op.kernel, op.stride, op.padding))
    function = "bitq_max_inside" if op.padding == NO_PADDING and not x.flip else "bitq_max_pool"
    return Layer(op, (window,), f"{function}(&{window.name}, {x.expression}, {at.y});", (function,))


def avg_pool(op: AvgPool, at: Place) -> Layer:
    """Print an average pool."""
    places, channels = math.prod(at.inputs[0].type.shape[:2]), at.inputs[0].type.shape[2]
    if math.prod(op.kernel) == places <= UINT16_MAX and not at.inputs[0].flip:
        return _mean(op, at, places, channels)
    return _average(op, at, op.kernel, op.stride)


def requantize(op: Requantize, at: Place) -> Layer:
    """Print a change of scale."""
    return _average(op, at, (1, 1), (1, 1))


def mean(op: AvgPool, at: Place) -> Layer:
    """Print the average over all places as a function with all numbers as constants, some places at a time."""
    x = at.inputs[0]
    places, channels = math.prod(x.type.shape[:2]), x.type.shape[2]
    if math.prod(op.kernel) != places or op.rescale.per_channel:
        return avg_pool(op, at)
    zero, element = (x.type.zero_point, "int8_t") if x.flip else (x.zero, "uint8_t")
    bias = int(added(np.array([-places * zero]), op.rescale)[0]) % 2**32
    together = max(k for k in range(1, _TOGETHER + 1) if places % k == 0)
    lines = [
        *scaled(op, at.symbol),
        f"static void {at.symbol}_code(const uint8_t *bytes, {out_type(op)} *y)",
        "{",
        f"    for (uint32_t i = 0; i < {channels}u; ++i) {{",
        f"        const {element} *x = (const {element} *)bytes + i;",
        "        int32_t sum = 0;",
        f"        for (uint32_t left = {places // together}u; left != 0u; --left) {{",
        *(f"            sum += (int32_t)x[{k * channels}];" for k in range(together)),
        f"            x += {together * channels};",
        "        }",
        f"        y[i] = {at.symbol}_scaled(sum, {bias}u);",
        "    }",
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    return Layer(op, (code,), f"{code.name}({x.expression}, {at.y});", ())


MEAN = Printer(mean)


def halves(op: Requantize, x: TensorType) -> bool:
    """Whether a change of scale halves every byte as it is held, rounding down."""
    held = np.arange(256) + x.dtype.low
    return not op.rescale.per_channel and bool(
        (op.evaluate([held], [x]) - op.out.dtype.low == np.arange(256) >> 1).all()
    )


def halve(op: Requantize, at: Place) -> Layer:
    """Print a change of scale that halves every byte; any other one as ever."""
    x = at.inputs[0]
    if not halves(op, x.type):
        return requantize(op, at)
    return Layer(op, (), f"bitq_halve({x.expression}, {x.flip}, {at.y}, {op.out.size});", ("bitq_halve",))


HALVE = Printer(halve)


def _mean(op: AvgPool, at: Place, places: int, channels: int) -> Layer:
    x = at.inputs[0]
    constants = rescale_constants(op, op.rescale, at.symbol)
    require(op, channels <= UINT16_MAX, f"{channels} channels", f"at most {UINT16_MAX}")
    fields: Fields = [
        ("rescale", f"&{constants[-1].name}"),
        ("start", -places * x.zero),
        ("places", places),
        ("channels", channels),
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
