"""Operators of ONNX on real numbers, each as the torch layer or function that means the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitq.lowering.imports.call import Call, Handler, per_channel
from bitq.lowering.imports.pointwise import POINTWISE
from bitq.lowering.imports.pools import POOLS
from bitq.lowering.imports.recurrent import RECURRENT
from bitq.lowering.imports.shapes import (
    border,
    concat,
    cut,
    flatten,
    gather,
    pad,
    pads,
    reshape,
    split,
    squeeze,
    transpose,
    unsqueeze,
)
from bitq.lowering.imports.values import Const, Flow, parts

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


def total(call: Call) -> Flow:
    """A sum of several values."""
    values = [call.real(place) for place in range(len(call.inputs))]
    return reduce(partial(call.into.apply, torch.add), values)


def multiply(call: Call) -> Flow:
    """A product; a constant becomes part of a scale that is folded."""
    return _affine(call, torch.mul, lambda c: (c, np.zeros_like(c)))


def divide(call: Call) -> Flow:
    """A quotient; by a constant, see `multiply`."""
    if isinstance(call.tensor(1), Flow):
        inverse = call.into.apply(torch.reciprocal, call.real(1))
        if isinstance(call.tensor(0), Const):
            return replace(inverse, factor=call.number(0))
        return call.into.apply(torch.mul, call.real(0), inverse)
    return _affine(call, torch.div, lambda c: (1 / c, np.zeros_like(c)))


def _affine(
    call: Call, function: Callable[..., Any], split: Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]
) -> Flow:
    first, second = call.tensor(0), call.tensor(1)
    if isinstance(first, Flow) and isinstance(second, Flow):
        return call.into.apply(function, call.real(0), call.real(1))
    name, constant = (call.inputs[0], second) if isinstance(first, Flow) else (call.inputs[1], first)
    assert isinstance(constant, Const)
    if constant.array.size == 1:
        value = call.flow(0 if isinstance(first, Flow) else 1)
        gain, offset = (float(part.reshape(-1)[0]) for part in split(constant.array.astype(np.float64)))
        return replace(value, factor=value.factor * gain, zero=value.zero * gain + offset, integers=False)
    value = call.into.flow(name)
    module = call.into.module_of(value)
    plain = isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) and module.bias is None
    last = value.example.dim() - 1 if isinstance(module, nn.Linear) else 1
    gain, offset = split(per_channel(call, constant.array, value.example, last))
    if plain and (gain == 1).all() and value.factor == 1 and value.zero == 0:
        assert isinstance(module, nn.Module)
        module.bias = nn.Parameter(torch.tensor(offset).float())
        return value
    call.require(last == 1, "it scales the last axis; put it before the transpose")
    return call.into.affine(call.name, value, value.factor * gain, value.zero * gain + offset)


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


def _times(weight: Const, factor: float) -> Const:
    scale = None if weight.scale is None else weight.scale * factor
    return weight if factor == 1 else Const(weight.array * factor, weight.codes, scale)


LAYERS: dict[str, Handler] = {
    "Add": add,
    "ArgMax": arg_max,
    "BatchNormalization": batch_norm,
    "Cast": cast,
    "Concat": concat,
    "Conv": conv,
    "Div": divide,
    "Dropout": same,
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "Identity": same,
    "MatMul": matmul,
    "Mul": multiply,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": cut,
    "Split": split,
    "Squeeze": squeeze,
    "Sub": subtract,
    "Sum": total,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    **POINTWISE,
    **POOLS,
    **RECURRENT,
}
"""By operator of the standard domain."""
