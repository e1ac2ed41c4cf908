"""Operators of ONNX on real numbers, each as the torch layer or function that means the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitq.lowering.imports.call import Call, per_channel
from bitq.lowering.imports.importer import Const, Flow, parts
from bitq.lowering.imports.shapes import (
    border,
    concat,
    cut,
    flatten,
    pad,
    pads,
    reshape,
    squeeze,
    transpose,
    unsqueeze,
)

Handler = Callable[[Call], Const | Flow]
_FLOATS = (1, 10, 11, 16)  # of onnx.TensorProto: 32, 16 and 64 bits, and bfloat16


def conv(call: Call) -> Flow:
    """A convolution over one or two dimensions."""
    bias = call.array(2) if call.has(2) else None
    return convolution(call, call.real(0), call.const(1), bias)


def convolution(call: Call, x: Flow, weight: Const, bias: NDArray[Any] | None) -> Flow:
    """Add a convolution with the geometry of a node."""
    dims = weight.array.ndim - 2
    call.require(dims in (1, 2), f"it is over {dims} dimensions; 1 and 2 are covered")
    kernel = weight.array.shape[2:]
    stride = tuple(call.integers("strides") or [1] * dims)
    dilation = tuple(call.integers("dilations") or [1] * dims)
    groups = int(call.attribute("group", 1))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    before, after = pads(call, list(x.example.shape[2:]), reach, stride)
    padding = tuple(before)
    if before != after:
        x, padding = border(call, x, before, after, 0.0), (0,) * dims
    x, weight = _in_bytes(call, x, weight, groups)
    kind = nn.Conv1d if dims == 1 else nn.Conv2d
    sizes: Any = (weight.array.shape[1] * groups, len(weight.array), kernel, stride, padding, dilation, groups)
    module = kind(*sizes, bias=bias is not None)
    return call.into.layer(call.name, module, x, weight, bias)


def gemm(call: Call) -> Flow:
    """A dense layer."""
    call.require(not call.attribute("transA", 0), "transA=1 is not covered")
    weight = call.const(1) if call.attribute("transB", 0) else transposed(call.const(1))
    weight = _times(weight, float(call.attribute("alpha", 1.0)))
    bias = None
    if call.has(2):
        given = call.array(2).astype(np.float64) * float(call.attribute("beta", 1.0))
        call.require(given.ndim < 2 or len(given) == 1, f"its constant {given.shape} has a row for every row")
        bias = np.broadcast_to(given.reshape(-1), (len(weight.array),))
    return dense(call, call.real(0), weight, bias)


def matmul(call: Call) -> Flow:
    """A dense layer without bias."""
    return dense(call, call.real(0), transposed(call.const(1)), None)


def dense(call: Call, x: Flow, weight: Const, bias: NDArray[Any] | None) -> Flow:
    """Add a dense layer of a weight ``(out, in)``."""
    call.require(weight.array.ndim == 2, f"its constant is {weight.array.shape}; a matrix is covered")
    call.require(x.example.dim() >= 2, "it reads a vector without a batch")
    x, weight = _in_bytes(call, x, weight, 1)
    module = nn.Linear(weight.array.shape[1], len(weight.array), bias=bias is not None)
    return call.into.layer(call.name, module, x, weight, bias)


def _in_bytes(call: Call, x: Flow, weight: Const, groups: int) -> tuple[Flow, Const]:
    """Return a layer's input and its weight in 8 bits: wider codes are a sum, over the input more than once."""
    codes = weight.codes if weight.codes is not None else np.zeros(1)
    call.require(bool(np.isfinite(weight.array).all()), "its weights are not finite")
    call.require(codes.min() >= -255 and codes.max() <= 255, "its weights take more than 8 bits and a zero point")
    split = parts(weight)
    if len(split) == 1:
        return x, weight
    call.require(groups == 1, "without their zero point its weights take more than 8 bits; in groups 8 are covered")
    codes = np.concatenate([part.codes for part in split if part.codes is not None], axis=1)
    assert weight.scale is not None
    scale = weight.scale if weight.scale.ndim < 2 else np.broadcast_to(weight.scale, weight.array.shape)
    scale = scale if scale.ndim == 0 else np.concatenate([scale] * len(split), axis=1)
    return call.into.apply(torch.cat, [x] * len(split), 1), Const(codes * scale, codes, scale)


def transposed(weight: Const) -> Const:
    """Return a matrix with its axes exchanged, codes and all."""
    if weight.array.ndim != 2:
        return weight
    codes = None if weight.codes is None else weight.codes.T
    scale = None if weight.scale is None else np.broadcast_to(weight.scale, weight.array.shape).T
    return Const(weight.array.T, codes, scale)


def batch_norm(call: Call) -> Flow:
    """Batch norm with the statistics of the file."""
    x = call.real(0)
    kind = nn.BatchNorm2d if x.example.dim() == 4 else nn.BatchNorm1d
    module = kind(x.example.shape[1], eps=float(call.attribute("epsilon", 1e-5)))
    held = (module.weight, module.bias, module.running_mean, module.running_var)
    with torch.no_grad():
        for place, tensor in enumerate(held, 1):
            assert tensor is not None
            tensor.copy_(torch.tensor(call.array(place)))
    return call.into.call(call.name, module, x)


def add(call: Call) -> Flow:
    """A sum; a constant becomes a bias, or part of a scale that is folded."""
    return _affine(call, torch.add, lambda c: (np.ones_like(c), c))


def subtract(call: Call) -> Flow:
    """A difference; see `add`."""
    call.require(isinstance(call.tensor(0), Flow), "a constant minus a value is not covered")
    return _affine(call, torch.sub, lambda c: (np.ones_like(c), -c))


def multiply(call: Call) -> Flow:
    """A product; a constant becomes part of a scale that is folded."""
    return _affine(call, torch.mul, lambda c: (c, np.zeros_like(c)))


def divide(call: Call) -> Flow:
    """A quotient with a constant; see `multiply`."""
    call.require(isinstance(call.tensor(1), Const), "it divides by a value; a constant is covered")
    return _affine(call, torch.div, lambda c: (1 / c, np.zeros_like(c)))


def _affine(
    call: Call, function: Callable[..., Any], split: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]
) -> Flow:
    first, second = call.tensor(0), call.tensor(1)
    if isinstance(first, Flow) and isinstance(second, Flow):
        return call.into.apply(function, call.real(0), call.real(1))
    name, constant = (call.inputs[0], second) if isinstance(first, Flow) else (call.inputs[1], first)
    value = call.into.flow(name)
    assert isinstance(constant, Const)
    if constant.array.size == 1:
        gain, offset = (float(part.reshape(-1)[0]) for part in split(constant.array.astype(np.float64)))
        return Flow(value.node, value.example, value.factor * gain, value.zero * gain + offset)
    gain, offset = split(per_channel(call, constant.array, value.example))
    module = call.into.module_of(value)
    plain = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) and module.bias is None
    if plain and (gain == 1).all() and value.factor == 1 and value.zero == 0:
        assert isinstance(module, nn.Module)
        module.bias = nn.Parameter(torch.tensor(offset).float())
        return value
    return call.into.affine(call.name, value, value.factor * gain, value.zero * gain + offset)


def max_pool(call: Call) -> Flow:
    """Max pooling."""
    call.require(not call.attribute("storage_order", 0), "storage_order=1 is not covered")
    kernel, stride, before, after = _window(call)
    call.require(before == after, f"its padding {before} and {after} is not the same on both sides")
    dilation = tuple(call.integers("dilations") or [1] * len(kernel))
    kind = nn.MaxPool1d if len(kernel) == 1 else nn.MaxPool2d
    sizes: Any = (kernel, stride, tuple(before), dilation)
    return call.into.call(call.name, kind(*sizes, ceil_mode=bool(call.attribute("ceil_mode", 0))), call.real(0))


def average_pool(call: Call) -> Flow:
    """Average pooling."""
    kernel, stride, before, after = _window(call)
    x, included = call.real(0), bool(call.attribute("count_include_pad", 0)) or not any(before + after)
    call.require(set(call.integers("dilations") or [1]) == {1}, "dilations are not covered")
    call.require(not call.attribute("ceil_mode", 0), "ceil_mode=1 is not covered")
    if included and any(before + after):
        x, before, after = border(call, x, before, after, 0.0), [0] * len(kernel), [0] * len(kernel)
    call.require(before == after, f"its padding {before} and {after} is not the same on both sides")
    kind = nn.AvgPool1d if len(kernel) == 1 else nn.AvgPool2d
    sizes: Any = (kernel, stride, tuple(before), False, included)
    return call.into.call(call.name, kind(*sizes), x)


def global_pool(one: type[nn.Module], two: type[nn.Module]) -> Handler:
    """Return the handler of a pool over all places."""

    def handle(call: Call) -> Flow:
        x = call.real(0)
        rank = x.example.dim()
        call.require(rank in (3, 4), f"it reads {rank} dimensions; 3 and 4 are covered")
        return call.into.call(call.name, (one if rank == 3 else two)(1), x)

    return handle


def reduce_mean(call: Call) -> Flow:
    """The mean over axes."""
    x = call.real(0)
    axes = call.integers("axes", 1) or list(range(x.example.dim()))
    dims = tuple(axis % x.example.dim() for axis in axes)
    call.require(0 not in dims, "it takes the mean over the batch")
    return call.into.apply(torch.mean, x, dims, bool(call.attribute("keepdims", 1)))


def clip(call: Call) -> Const | Flow:
    """A clamp between two constants."""
    low = call.number(1) if call.has(1) else float(call.attribute("min", -np.inf))
    high = call.number(2) if call.has(2) else float(call.attribute("max", np.inf))
    if (low, high) == (-np.inf, np.inf):
        return call.tensor(0)
    if low == 0 and high >= np.finfo(np.float32).max:
        module: nn.Module = nn.ReLU()
    else:
        call.require(bool(low < high and np.isfinite([low, high]).all()), f"its limits are {low:g} and {high:g}")
        module = nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)
    return call.into.call(call.name, module, call.real(0))


def prelu(call: Call) -> Flow:
    """A ramp with a slope per channel, or one, below 0."""
    x = call.real(0)
    slope = call.array(1)
    slope = slope.reshape(-1) if slope.size == 1 else per_channel(call, slope, x.example)
    module = nn.PReLU(len(slope))
    with torch.no_grad():
        module.weight.copy_(torch.tensor(slope))
    return call.into.call(call.name, module, x)


def hard_sigmoid(call: Call) -> Flow:
    """The ramp that torch knows."""
    slope, offset = float(call.attribute("alpha", 0.2)), float(call.attribute("beta", 0.5))
    call.require(
        abs(slope - 1 / 6) < 1e-6 and offset == 0.5, f"alpha={slope:g}, beta={offset:g}; 1/6 and 0.5 are covered"
    )
    return call.into.call(call.name, nn.Hardsigmoid(), call.real(0))


def softmax(kind: type[nn.Softmax | nn.LogSoftmax]) -> Handler:
    """Return the handler of a softmax; before operator set 13 it flattens first."""

    def handle(call: Call) -> Flow:
        x = call.real(0)
        axis = call.attribute("axis", 1 if call.version < 13 else -1) % x.example.dim()
        call.require(call.version >= 13 or axis == x.example.dim() - 1, "it is over several axes")
        return call.into.call(call.name, kind(dim=axis), x)

    return handle


def arg_max(call: Call) -> Flow:
    """The scores themselves: the entry point returns the index of the largest."""
    x = call.real(0)
    call.require(call.last, "it is covered as the last step only")
    call.require(call.attribute("axis", 0) % x.example.dim() == 1 and x.example.dim() == 2, "it is not over classes")
    call.require(not call.attribute("select_last_index", 0), "select_last_index=1; the lowest index wins a tie")
    return x


def same(call: Call) -> Const | Flow:
    """What does nothing in inference."""
    if call.kind == "Dropout" and call.has(2):
        call.require(not call.array(2).any(), "training_mode=1 is no inference")
    return call.tensor(0)


def cast(call: Call) -> Const | Flow:
    """Another type of floating point, which changes nothing here; an input of integers is itself."""
    call.require(call.attribute("to", 1) in _FLOATS, "it leads to no floating point; QuantizeLinear rounds")
    value = call.tensor(0)
    if isinstance(value, Flow) and call.into.is_input(value) and value.integers:
        return call.into.dequantized(call.inputs[0], 1.0, 0)
    return replace(value, integers=False) if isinstance(value, Flow) else value


def module(build: Callable[[Call], nn.Module]) -> Handler:
    """Return the handler of an operator that is one torch module of one value."""
    return lambda call: call.into.call(call.name, build(call), call.real(0))


def _times(weight: Const, factor: float) -> Const:
    scale = None if weight.scale is None else weight.scale * factor
    return weight if factor == 1 else Const(weight.array * factor, weight.codes, scale)


def _window(call: Call) -> tuple[tuple[int, ...], tuple[int, ...], list[int], list[int]]:
    """Return kernel, stride, and the padding before and after each dimension."""
    kernel = tuple(call.integers("kernel_shape") or [])
    call.require(len(kernel) in (1, 2), f"it is over {len(kernel)} dimensions; 1 and 2 are covered")
    stride = tuple(call.integers("strides") or [1] * len(kernel))
    return kernel, stride, *pads(call, list(call.real(0).example.shape[2:]), list(kernel), stride)


LAYERS: dict[str, Handler] = {
    "Add": add,
    "ArgMax": arg_max,
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Div": divide,
    "Dropout": same,
    "Elu": module(lambda call: nn.ELU(float(call.attribute("alpha", 1.0)))),
    "Flatten": flatten,
    "Gelu": module(lambda call: nn.GELU(call.attribute("approximate", "none"))),
    "Gemm": gemm,
    "GlobalAveragePool": global_pool(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
    "GlobalMaxPool": global_pool(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": module(lambda call: nn.Hardswish()),
    "Identity": same,
    "LeakyRelu": module(lambda call: nn.LeakyReLU(float(call.attribute("alpha", 0.01)))),
    "LogSoftmax": softmax(nn.LogSoftmax),
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": multiply,
    "PRelu": prelu,
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "Relu": module(lambda call: nn.ReLU()),
    "Reshape": reshape,
    "Sigmoid": module(lambda call: nn.Sigmoid()),
    "Slice": cut,
    "Softmax": softmax(nn.Softmax),
    "Softplus": module(lambda call: nn.Softplus()),
    "Squeeze": squeeze,
    "Sub": subtract,
    "Tanh": module(lambda call: nn.Tanh()),
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""By operator of the standard domain."""
