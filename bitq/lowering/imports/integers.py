"""Operators of ONNX and QONNX that say what is an integer: quantizing, dequantizing, and layers on integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitq.ir.types import INT8, UINT8
from bitq.lowering.imports.call import Call, Handler
from bitq.lowering.imports.layers import convolution, dense, transposed
from bitq.lowering.imports.pools import averaged
from bitq.lowering.imports.roundings import Quantize, signed
from bitq.lowering.imports.values import Const, Flow

_RANGES = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (2, 4, 8)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (2, 4, 8)},
}
_TYPES = {2: "uint8", 3: "int8", 21: "uint4", 22: "int4"}  # of onnx.TensorProto, for output_dtype


def dequantize_linear(call: Call) -> Const | Flow:
    """``(x − zero_point) · scale``."""
    call.require(not call.attribute("block_size", 0), "block_size is not covered; one scale per tensor or channel is")
    value = call.tensor(0)
    if isinstance(value, Const):
        return _weight(call, value.array, call.array(1), call.array(2) if call.has(2) else None)
    return call.into.dequantized(call.inputs[0], call.number(1), _zero(call, 2))


def quantize_linear(call: Call) -> Const | Flow:
    """``clip(round(x / scale) + zero_point)``."""
    call.require(not call.attribute("block_size", 0), "block_size is not covered; one scale per tensor or channel is")
    kind = _kind(call, 2)
    if isinstance(call.tensor(0), Const):
        scale, zero = call.array(1), call.array(2) if call.has(2) else np.zeros(1)
        wide = [_along(call, part.astype(np.float64), call.array(0).ndim) for part in (scale, zero)]
        return Const(np.clip(np.rint(call.array(0) / wide[0]) + wide[1], *_RANGES[kind]).astype(np.int64))
    return requantized(call, call.real(0), call.number(1), _zero(call, 2), kind)


def requantized(call: Call, x: Flow, scale: float, zero: int, kind: str) -> Flow:
    """Round a value to integers of a type of ONNX."""
    rounded = rounding(call, x, Quantize(scale, zero, UINT8 if kind[0] == "u" else INT8, *_RANGES[kind]))
    return Flow(rounded.node, rounded.example, 1 / scale, zero, integers=True)


def rounding(call: Call, x: Flow, module: Quantize) -> Flow:
    """Add a rounding; that of the file's input says how the chip gets it."""
    call.require(module.scale > 0, f"its scale is {module.scale:g}; it must be positive")
    if call.into.is_input(x):
        module = signed(module)
        call.into.encode(x, module)
    return call.into.call(call.name, module, x)


def qlinear_conv(call: Call) -> Flow:
    """A convolution from integers to integers."""
    x, weight, bias = _operands(call)
    return _rounded(call, convolution(call, x, weight, bias), 6)


def qlinear_matmul(call: Call) -> Flow:
    """A dense layer from integers to integers."""
    x, weight, _ = _operands(call)
    return _rounded(call, dense(call, x, transposed(weight), None), 6)


def qgemm(call: Call) -> Flow:
    """ONNX Runtime's dense layer; its result is real where it names no scale."""
    call.require(not call.attribute("transA", 0), "transA=1 is not covered")
    turned = bool(call.attribute("transB", 0))
    x, weight = _real(call, 0), _weight(call, call.array(3), call.array(4), call.array(5), axis=0 if turned else -1)
    steps = call.number(1) * call.array(4).astype(np.float64).reshape(-1)
    bias = call.array(6).astype(np.float64).reshape(-1) * steps if call.has(6) else None
    factor = float(call.attribute("alpha", 1.0))
    call.require(factor == 1, f"alpha={factor:g}; 1 is covered")
    y = dense(call, x, weight if turned else transposed(weight), bias)
    return _rounded(call, y, 7) if call.has(7) else y


def qlinear(join: Callable[..., torch.Tensor]) -> Handler:
    """Return the handler of ONNX Runtime's sum or product of integers of two scales."""
    return lambda call: _rounded(call, call.into.apply(join, _real(call, 0), _real(call, 3)), 6)


def qlinear_curve(build: Callable[[Call], nn.Module]) -> Handler:
    """Return the handler of ONNX Runtime's operator on each integer by itself."""
    return lambda call: _rounded(call, call.into.call(f"{call.name}_real", build(call), _real(call, 0)), 3)


def qlinear_pool(call: Call) -> Flow:
    """ONNX Runtime's average of integers, in windows or over all places."""
    call.require(not call.attribute("channels_last", 0), "channels_last=1 is not covered")
    x = _real(call, 0)
    if call.kind == "QLinearAveragePool":
        return _rounded(call, averaged(call, x), 3)
    kind = nn.AdaptiveAvgPool1d if x.example.dim() == 3 else nn.AdaptiveAvgPool2d
    return _rounded(call, call.into.call(f"{call.name}_real", kind(1), x), 3)


def qlinear_concat(call: Call) -> Flow:
    """ONNX Runtime's integers of several scales side by side."""
    values = [_real(call, place) for place in range(2, len(call.inputs), 3)]
    axis = call.attribute("axis", 1) % values[0].example.dim()
    call.require(axis != 0, "it joins along the batch")
    return _rounded(call, call.into.apply(torch.cat, values, axis), 0)


def conv_integer(call: Call) -> Flow:
    """A convolution from integers to its sums."""
    x, weight, steps = _sums(call)
    y = convolution(call, x, weight, None)
    return Flow(y.node, y.example, steps, integers=True)


def matmul_integer(call: Call) -> Flow:
    """A dense layer from integers to its sums."""
    x, weight, steps = _sums(call)
    y = dense(call, x, transposed(weight), None)
    return Flow(y.node, y.example, steps, integers=True)


def quant(call: Call) -> Const | Flow:
    """QONNX's rounding to a number of bits, ``(clip(round(x / scale + zero_point)) − zero_point) · scale``."""
    bits = int(call.number(3))
    call.require(2 <= bits <= 8, f"it rounds to {bits} bits; 2 to 8 are covered")
    mode = str(call.attribute("rounding_mode", "ROUND")).upper()
    call.require(mode in ("ROUND", "HALF_EVEN"), f"rounding_mode={mode}; ROUND is covered")
    with_sign, narrow = bool(call.attribute("signed", 1)), bool(call.attribute("narrow", 0))
    low, high = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if with_sign else (0, 2**bits - 1 - narrow)
    if isinstance(call.tensor(0), Const):
        array = call.array(0).astype(np.float64)
        scale, zero = (_along(call, call.array(place).astype(np.float64), array.ndim) for place in (1, 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            codes = np.clip(np.rint(array / scale + zero), low, high) - zero
        call.require(bool(np.isfinite(codes * scale).all()), "its weights are not finite")
        return _coded(codes.astype(np.int64), scale)
    zero = call.number(2)
    call.require(zero == int(zero), f"its zero point is {zero:g}; an integer is covered")
    module = Quantize(call.number(1), int(zero), INT8 if with_sign else UINT8, low, high)
    return rounding(call, call.real(0), module)


def bipolar_quant(call: Call) -> Const:
    """QONNX's sign of weights, with a scale."""
    call.require(isinstance(call.tensor(0), Const), "the sign of a value that depends on the input is not covered")
    scale = _along(call, call.array(1).astype(np.float64), call.array(0).ndim)
    return _coded(np.where(call.array(0) >= 0, 1, -1), scale)


def _real(call: Call, place: int) -> Flow:
    """Return integers, whose scale and zero point are the next inputs, as real numbers."""
    name, scale = call.inputs[place], call.number(place + 1)
    return call.into.settled(call.into.dequantized(name, scale, _zero(call, place + 2)))


def _rounded(call: Call, y: Flow, place: int) -> Flow:
    """Round a result to integers, whose scale and zero point are inputs."""
    return requantized(call, y, call.number(place), _zero(call, place + 1), _kind(call, place + 1))


def _operands(call: Call) -> tuple[Flow, Const, NDArray[Any] | None]:
    """Return input, weight and real bias of a QLinearConv or QLinearMatMul."""
    call.require(isinstance(call.tensor(3), Const), "its second factor depends on the input; a constant is covered")
    x, x_scale = _real(call, 0), call.number(1)
    channels = call.kind == "QLinearConv"
    weight = _weight(call, call.array(3), call.array(4), call.array(5), axis=0 if channels else -1)
    if not (channels and call.has(8)):
        return x, weight, None
    return x, weight, call.array(8).astype(np.float64) * x_scale * call.array(4).astype(np.float64).reshape(-1)


def _sums(call: Call) -> tuple[Flow, Const, float]:
    """Return input, weight in whole steps, and how many sums' steps one of the real result is."""
    call.require(isinstance(call.tensor(1), Const), "its second factor depends on the input; a constant is covered")
    scale = 1 / call.into.flow(call.inputs[0]).factor  # 1 for the input itself, which has no scale
    x = call.into.settled(call.into.dequantized(call.inputs[0], scale, _zero(call, 2)))
    zero = call.array(3) if call.has(3) else None
    weight = _weight(call, call.array(1), np.ones(1), zero, axis=0 if call.kind == "ConvInteger" else -1)
    return x, weight, 1 / scale


def _weight(
    call: Call, array: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any] | None, axis: int | None = None
) -> Const:
    """Return integers as a constant, without their zero point."""
    call.require(array.dtype.kind not in "fc" and "float" not in array.dtype.name, f"it holds {array.dtype.name}")
    wide = _along(call, scale.astype(np.float64), array.ndim, axis)
    integers = array.astype(np.int64)
    if zero is not None:
        integers = integers - _along(call, zero.astype(np.int64), array.ndim, axis)
    return _coded(integers, wide)


def _coded(codes: NDArray[np.int64], scale: NDArray[np.float64]) -> Const:
    return Const(codes * scale, codes, scale)


def _along(call: Call, part: NDArray[Any], rank: int, axis: int | None = None) -> NDArray[Any]:
    """Return a scale or zero point shaped to go with a tensor of a rank."""
    if part.size == 1:
        return part.reshape(())
    if part.ndim != 1:
        return part
    axis = int(call.attribute("axis", 1)) if axis is None else axis
    return part.reshape([-1 if place == axis % rank else 1 for place in range(rank)])


def _zero(call: Call, place: int) -> int:
    return int(call.number(place)) if call.has(place) else 0


def _kind(call: Call, place: int) -> str:
    """Return the integer type that a zero point has, or that an attribute names."""
    kind = call.array(place).dtype.name if call.has(place) else _TYPES.get(call.attribute("output_dtype", 0), "uint8")
    call.require(kind in _RANGES, f"it rounds to {kind}; {', '.join(_RANGES)} are covered")
    return kind


INTEGERS: dict[str, Handler] = {
    "BipolarQuant": bipolar_quant,
    "ConvInteger": conv_integer,
    "DequantizeLinear": dequantize_linear,
    "MatMulInteger": matmul_integer,
    "QGemm": qgemm,
    "QLinearAdd": qlinear(torch.add),
    "QLinearAveragePool": qlinear_pool,
    "QLinearConcat": qlinear_concat,
    "QLinearConv": qlinear_conv,
    "QLinearGlobalAveragePool": qlinear_pool,
    "QLinearLeakyRelu": qlinear_curve(lambda call: nn.LeakyReLU(float(call.attribute("alpha", 0.01)))),
    "QLinearMatMul": qlinear_matmul,
    "QLinearMul": qlinear(torch.mul),
    "QLinearSigmoid": qlinear_curve(lambda call: nn.Sigmoid()),
    "Quant": quant,
    "QuantizeLinear": quantize_linear,
}
"""By operator, of the standard domain, QONNX's or ONNX Runtime's."""
