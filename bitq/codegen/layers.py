"""What each operation becomes in C: its constants and one call of the runtime."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import Constant, nested, struct, table
from bitq.codegen.pack import PACKINGS, pack
from bitq.codegen.storage import Storage, byte_zero
from bitq.core.errors import DeployError
from bitq.ir.graph import rescale_of
from bitq.ir.ops import NO_PADDING, Add, ArgMax, AvgPool, Concat, Conv, Dense, MaxPool, Op, Pair, Requantize
from bitq.ir.types import INT32, Rescale, TensorType

_BIAS_INT32 = 255
_UINT16_MAX = 65535

Fields = list[tuple[str, str | int]]


@dataclass(frozen=True)
class Layer:
    """One operation in C.

    Attributes:
        op: what it computes.
        constants: objects in flash, in the order of their definition.
        call: the statement that runs it; one per input for a `Concat`.
        runtime: names of the runtime functions that it uses.
    """

    op: Op
    constants: tuple[Constant, ...]
    call: str
    runtime: tuple[str, ...]

    @property
    def flash_bytes(self) -> int:
        """Bytes of the constants."""
        return sum(constant.flash_bytes for constant in self.constants)


def layers(storage: Storage) -> tuple[Layer, ...]:
    """Turn every working operation of a graph into C.

    Raises:
        DeployError: a dimension or a clamp is beyond what the runtime's structures hold; names the layer.
    """
    return tuple(_layer(op, f"{storage.graph.name}_{symbol}", storage) for op, symbol in _symbols(storage))


def _symbols(storage: Storage) -> list[tuple[Op, str]]:
    """Return each operation with a short C identifier of its own."""
    taken: set[str] = set()
    named: list[tuple[Op, str]] = []
    for op in storage.ops:
        base = re.sub(r"[^a-z0-9]+", "_", op.name.lower()).strip("_")[:24] or "op"
        symbol, number = base, 2
        while symbol in taken:
            symbol, number = f"{base}_{number}", number + 1
        taken.add(symbol)
        named.append((op, symbol))
    return named


def _layer(op: Op, symbol: str, storage: Storage) -> Layer:
    x_name = op.inputs[0]
    x_type = storage.graph.types()[x_name]
    x = storage.expression(x_name)
    flip = 0x80 if storage.is_input(x_name) else 0
    if isinstance(op, ArgMax):
        return _arg_max(op, x, x_type, flip, storage)
    y = storage.expression(op.name)
    constants = _rescale(op, symbol)
    match op:
        case Dense():
            constants, fields = _linear(op, symbol, x_type, constants)
            constants.append(struct(f"{symbol}_layer", "bitq_linear", fields))
            call = f"bitq_dense(&{symbol}_layer, {x}, {storage.scratch(op)}, {y});"
            runtime = ("bitq_dense", PACKINGS[op.weights.dtype.name].kernel)
        case Conv() if is_grouped(op):
            constants = _grouped(op, symbol, x_type, constants, flip)
            call = f"bitq_grouped(&{symbol}_layer, {x}, (int8_t *)({storage.scratch(op)}), {y});"
            runtime = ("bitq_grouped",)
        case Conv():
            constants, fields = _linear(op, symbol, x_type, constants)
            kernel = (op.weights.codes.shape[1], op.weights.codes.shape[2])
            window = _window(op, x_type, kernel, op.stride, op.padding, flip)
            both: Fields = [("linear", nested(fields)), ("window", nested(window))]
            constants.append(struct(f"{symbol}_layer", "bitq_convolution", both))
            call = f"bitq_conv(&{symbol}_layer, {x}, {storage.scratch(op)}, {y});"
            runtime = ("bitq_conv", PACKINGS[op.weights.dtype.name].kernel)
        case MaxPool():
            window = _window(op, x_type, op.kernel, op.stride, op.padding, flip)
            constants.append(struct(f"{symbol}_window", "bitq_window", window))
            call = f"bitq_max_pool(&{symbol}_window, {x}, {y});"
            runtime = ("bitq_max_pool",)
        case AvgPool():
            window = _window(op, x_type, op.kernel, op.stride, NO_PADDING, flip)
            constants.append(struct(f"{symbol}_window", "bitq_window", window))
            call = f"bitq_average(&{symbol}_window, &{symbol}_rescale, {x}, {y});"
            runtime = ("bitq_average",)
        case Requantize():
            window = _window(op, x_type, (1, 1), (1, 1), NO_PADDING, flip)
            constants.append(struct(f"{symbol}_window", "bitq_window", window))
            call = f"bitq_average(&{symbol}_window, &{symbol}_rescale, {x}, {y});"
            runtime = ("bitq_average",)
        case Add():
            constants.append(_sum(op, symbol, storage))
            second = storage.expression(op.inputs[1])
            call = f"bitq_add(&{symbol}_sum, {x}, {second}, {y});"
            runtime = ("bitq_add",)
        case Concat():
            call = _concat(op, y, storage)
            runtime = ("bitq_concat",)
        case _:
            raise DeployError(f"layer {op.layer or op.name}: {type(op).__name__} has no C.")
    return Layer(op, tuple(constants), call, runtime)


def _arg_max(op: ArgMax, x: str, x_type: TensorType, flip: int, storage: Storage) -> Layer:
    wide = x_type.dtype is INT32
    runtime = "bitq_argmax" if wide else "bitq_argmax_bytes"
    value = f"{runtime}({x}, {x_type.size}{'' if wide else f', {flip}'})"
    call = f"winner = {value};" if op.name == storage.returned else f"*({storage.expression(op.name)}) = {value};"
    return Layer(op, (), call, (runtime,))


def _rescale(op: Op, symbol: str) -> list[Constant]:
    rescale = rescale_of(op)
    if rescale is None:
        return []
    multiplier = table(f"{symbol}_multiplier", rescale.multiplier.astype(np.int16))
    low, high = _relative_clamp(op, rescale)
    fields: Fields = [
        ("multiplier", multiplier.name),
        ("low", low),
        ("high", high),
        ("zero_point", byte_zero(op.out) if op.out.dtype is not INT32 else rescale.zero_point),
        ("step", int(rescale.per_channel)),
        ("pre_shift", rescale.pre_shift),
        ("shift", rescale.shift),
        ("out_bytes", _out_bytes(op)),
    ]
    return [multiplier, struct(f"{symbol}_rescale", "bitq_rescale", fields)]


def _relative_clamp(op: Op, rescale: Rescale) -> Pair:
    """Return the clamp before the zero point is added; cut to int32, in which the clamped value is."""
    low, high = max(rescale.low - rescale.zero_point, INT32.low), min(rescale.high - rescale.zero_point, INT32.high)
    _require(op, INT32.low <= high and low <= INT32.high, f"clamp around zero point {rescale.zero_point}", "int32")
    return low, high


def _linear(
    op: Dense | Conv, symbol: str, x_type: TensorType, rescale: list[Constant]
) -> tuple[list[Constant], Fields]:
    packing = PACKINGS[op.weights.dtype.name]
    grouped = is_grouped(op)
    matrix = op.weights.matrix
    outputs, inputs = matrix.shape
    _require(op, max(outputs, inputs) <= _UINT16_MAX, f"{inputs} inputs and {outputs} outputs", "at most 65535 each")
    weights = table(f"{symbol}_weights", pack(matrix.astype(np.int8), op.weights.dtype))
    # Folding in the zero point gives the sum for an input of all zero bytes, so it fits where the sums do. In groups
    # every input counts relative to its zero.
    zero = 0 if grouped else byte_zero(x_type)
    stored, shift = shortest_bias(op.bias.astype(np.int64) - zero * matrix.sum(axis=1))
    bias = table(f"{symbol}_bias", stored)
    fields: Fields = [
        ("kernel", "NULL" if grouped else packing.kernel),
        ("weights", weights.name),
        ("bias", bias.name),
        ("rescale", f"&{rescale[-1].name}" if rescale else "NULL"),
        ("inputs", inputs),
        ("outputs", outputs),
        ("row_bytes", packing.row_bytes(inputs)),
        ("planes", packing.field_bits if grouped else packing.planes),
        ("widen", packing.widen),
        ("offset", packing.offset),
        ("bias_shift", shift),
        ("out_bytes", _out_bytes(op)),
    ]
    return [weights, bias, *rescale], fields


def _sum(op: Add, symbol: str, storage: Storage) -> Constant:
    types = [storage.graph.types()[name] for name in op.inputs]
    flips = [0x80 if storage.is_input(name) else 0 for name in op.inputs]
    fields: Fields = [
        ("rescale", f"&{symbol}_rescale"),
        ("count", op.out.size),
        ("multiplier", f"{{{op.multipliers[0]}, {op.multipliers[1]}}}"),
        ("zero", f"{{{byte_zero(types[0])}, {byte_zero(types[1])}}}"),
        ("flip", f"{{{flips[0]}, {flips[1]}}}"),
    ]
    return struct(f"{symbol}_sum", "bitq_sum", fields)


def _concat(op: Concat, y: str, storage: Storage) -> str:
    types = storage.graph.types()
    step, first, calls = op.out.shape[-1], 0, list[str]()
    for name in op.inputs:
        width = types[name].shape[-1]
        flip = 0x80 if storage.is_input(name) else 0
        places = types[name].size // width
        calls.append(f"bitq_concat({storage.expression(name)}, {flip}, {places}, {width}, {y} + {first}, {step});")
        first += width
    return "\n    ".join(calls)


def is_grouped(op: Op) -> bool:
    """Whether a convolution is one for `bitq_grouped.c`, which knows groups and dilation."""
    return isinstance(op, Conv) and (op.groups > 1 or op.dilation != (1, 1))


def _grouped(op: Conv, symbol: str, x_type: TensorType, rescale: list[Constant], flip: int) -> list[Constant]:
    constants, linear = _linear(op, symbol, x_type, rescale)
    kernel = (op.weights.codes.shape[1], op.weights.codes.shape[2])
    both: Fields = [
        ("linear", nested(linear)),
        ("window", nested(_window(op, x_type, kernel, op.stride, op.padding, flip))),
    ]
    _require(op, max(op.dilation) <= _UINT16_MAX, f"a dilation of {max(op.dilation)}", "at most 65535")
    fields: Fields = [
        ("convolution", nested(both)),
        ("group_inputs", op.weights.codes.shape[3]),
        ("group_outputs", len(op.bias) // op.groups),
        ("dilation_y", op.dilation[0]),
        ("dilation_x", op.dilation[1]),
    ]
    return [*constants, struct(f"{symbol}_layer", "bitq_groups", fields)]


def shortest_bias(bias: NDArray[np.int64]) -> tuple[NDArray[np.int16] | NDArray[np.int32], int]:
    """Return the shortest exact storage of biases: int16 with a common left shift, else int32.

    Returns:
        The integers to store, and the shift; 255 marks int32.
    """
    for shift in range(17):
        short = bias >> shift
        if ((short << shift) != bias).any():
            break
        if short.min() >= -(2**15) and short.max() < 2**15:
            return short.astype(np.int16), shift
    return bias.astype(np.int32), _BIAS_INT32


def _window(op: Op, x_type: TensorType, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair], flip: int) -> Fields:
    height, width, channels = _spatial(x_type.shape)
    out_height, out_width, _ = _spatial(op.out.shape)
    sizes: Fields = [
        ("height", height),
        ("width", width),
        ("channels", channels),
        ("out_height", out_height),
        ("out_width", out_width),
        ("kernel_height", kernel[0]),
        ("kernel_width", kernel[1]),
        ("stride_y", stride[0]),
        ("stride_x", stride[1]),
        ("top", padding[0][0]),
        ("left", padding[1][0]),
    ]
    largest = max(int(size) for _, size in sizes)
    _require(op, largest <= _UINT16_MAX, f"a dimension of {largest}", "at most 65535")
    return [*sizes, ("flip", flip), ("zero", byte_zero(x_type))]


def _spatial(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return a shape as (height, width, channels); a vector is one place with many channels."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return 1, math.prod(shape[:-1]), shape[-1]


def _out_bytes(op: Op) -> int:
    return 4 if op.out.dtype is INT32 else 1


def _require(op: Op, holds: bool, what: str, allowed: str) -> None:
    if not holds:
        raise DeployError(f"layer {op.layer or op.name}: {what} cannot be held in C; allowed: {allowed}.")
