"""What functions and tensor methods stand for: a module each, called with the arguments behind the input.

What torch has no module for has a small one in `bitq.lowering.standins`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor, nn

from bitq.lowering.standins import Curve, Mean, Most, Reshape, Square, Sum


def _max_pool(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    def build(
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> nn.Module:
        return kind(kernel_size, stride or None, padding, dilation, return_indices, ceil_mode)

    return build


def _softmax(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    # The stack level only places a warning of torch.
    def build(dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
        return kind(dim)

    return build


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


def _power(exponent: float) -> nn.Module:
    return Square() if exponent == 2 else Curve(torch.pow, exponent)


def _absolute() -> nn.Module:
    return nn.LeakyReLU(-1.0)


def _curve(function: Callable[..., Any]) -> Callable[..., nn.Module]:
    def build() -> nn.Module:
        return Curve(function)

    return build


def _unchanged(*kinds: Any, **options: Any) -> nn.Module:
    """Stand for what matters to devices, gradients and memory only; None is what the forward pass computes."""
    other = [kind for kind in (*kinds, *options.values()) if isinstance(kind, torch.dtype) and kind != torch.float32]
    if other:
        raise ValueError(f"it makes {other[0]} of its values; leave them as they are")
    return nn.Identity()


def _pad(pad: Sequence[int], mode: str = "constant", value: float | None = None) -> nn.Module:
    if mode != "constant":
        raise ValueError(f"mode='{mode}'; only 'constant' is covered")
    # torch's own modules differ in nothing but the number of dimensions that they ask for.
    kind: Any = nn.ConstantPad1d if len(pad) <= 2 else nn.ConstantPad2d
    module: nn.Module = kind(tuple(pad), value or 0.0)
    return module


def _clamp(min: float | None = None, max: float | None = None) -> nn.Module:  # noqa: A002  torch's names
    if (min, max) == (0, None):
        return nn.ReLU()
    return nn.Hardtanh(-math.inf if min is None else min, math.inf if max is None else max)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    if training:
        raise ValueError("it drops values in inference, too; pass training=self.training")
    return nn.Dropout(p)


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    return _with(nn.Linear(weight.shape[1], weight.shape[0], bias is not None), weight, bias)


def _convolution(kind: type[nn.Conv1d | nn.Conv2d]) -> Callable[..., nn.Module]:
    def build(
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> nn.Module:
        outputs, inputs, *kernel = weight.shape
        options = (kernel, stride, padding, dilation, groups, bias is not None)
        layer: Any = kind(inputs * groups, outputs, *options)  # pyright: ignore[reportArgumentType]
        return _with(layer, weight, bias)

    return build


def _with(layer: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    layer.weight = nn.Parameter(weight, requires_grad=False)
    layer.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    module: nn.Module = layer
    return module


_CURVES = (
    *(torch.exp, torch.expm1, torch.log, torch.log1p, torch.sqrt, torch.rsqrt, torch.reciprocal),
    *(torch.sin, torch.cos, torch.atan, torch.erf),
)
_FORMS: tuple[tuple[Callable[..., nn.Module], tuple[Any, ...]], ...] = (
    (nn.ReLU, (F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_")),
    (_max_pool(nn.MaxPool1d), (F.max_pool1d, torch.max_pool1d)),
    (_max_pool(nn.MaxPool2d), (F.max_pool2d, torch.max_pool2d)),
    (nn.AvgPool1d, (F.avg_pool1d,)),
    (nn.AvgPool2d, (F.avg_pool2d,)),
    (nn.AdaptiveAvgPool1d, (F.adaptive_avg_pool1d,)),
    (nn.AdaptiveAvgPool2d, (F.adaptive_avg_pool2d,)),
    (nn.AdaptiveMaxPool1d, (F.adaptive_max_pool1d,)),
    (nn.AdaptiveMaxPool2d, (F.adaptive_max_pool2d,)),
    (nn.ReLU6, (F.relu6,)),
    (nn.Hardtanh, (F.hardtanh,)),
    (_clamp, (torch.clamp, torch.clip, "clamp", "clip", "clamp_", "clip_")),
    (nn.LeakyReLU, (F.leaky_relu,)),
    (nn.Hardsigmoid, (F.hardsigmoid,)),
    (nn.Hardswish, (F.hardswish,)),
    (nn.Sigmoid, (F.sigmoid, torch.sigmoid, "sigmoid")),
    (nn.Tanh, (F.tanh, torch.tanh, "tanh")),
    (nn.SiLU, (F.silu,)),
    (nn.GELU, (F.gelu,)),
    (nn.ELU, (F.elu,)),
    (nn.CELU, (F.celu,)),
    (nn.SELU, (F.selu,)),
    (nn.Mish, (F.mish,)),
    (nn.Softplus, (F.softplus,)),
    (nn.Softsign, (F.softsign,)),
    (nn.LogSigmoid, (F.logsigmoid,)),
    (_pad, (F.pad,)),
    (Mean, (torch.mean, "mean")),
    (Sum, (torch.sum, "sum")),
    (Square, (torch.square, "square")),
    (_power, (torch.pow, operator.pow, "pow")),
    (Most, (torch.amax, "amax")),
    (_absolute, (torch.abs, "abs")),
    *((_curve(function), (function, function.__name__)) for function in _CURVES),
    (_flatten, (torch.flatten, "flatten")),
    (Reshape, (torch.reshape, "view", "reshape")),
    (_dropout, (F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout)),
    (_softmax(nn.Softmax), (F.softmax, torch.softmax, "softmax")),
    (_softmax(nn.LogSoftmax), (F.log_softmax, torch.log_softmax, "log_softmax")),
    (_unchanged, (torch.clone, "clone", "contiguous", "detach", "float", "to", "cpu")),
)
"""A module, and the functions and methods that mean the same, called with the arguments behind the input."""

CALLS: dict[Any, Callable[..., nn.Module]] = {form: module for module, forms in _FORMS for form in forms}
COMPUTED = (Reshape, _unchanged)
"""Those whose arguments the forward pass may compute; they are None then."""

ARITHMETIC: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "add"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_"), "sub"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_"), "mul"),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, torch.divide, "div", "div_"), "div"),
}
NEG = (operator.neg, torch.neg, "neg")
CAT, STACK = (torch.cat, torch.concat, torch.hstack), (torch.stack,)
SPREAD = ("expand", "expand_as", torch.broadcast_to, "broadcast_to")
"""What gives a value more places, which a product does by itself."""
LAYERS: dict[Any, Callable[..., nn.Module]] = {
    F.linear: _linear,
    **dict.fromkeys((F.conv1d, torch.conv1d), _convolution(nn.Conv1d)),
    **dict.fromkeys((F.conv2d, torch.conv2d), _convolution(nn.Conv2d)),
}
"""Functions that are given a weight."""
MAX = (torch.max, "max")

VIEWS = (
    *(torch.permute, torch.transpose, torch.swapaxes, torch.swapdims, torch.movedim, torch.squeeze, torch.unsqueeze),
    *("permute", "transpose", "swapaxes", "swapdims", "movedim", "squeeze", "unsqueeze", operator.getitem),
    *(torch.narrow, torch.select, torch.flip, "narrow", "select", "flip", "unflatten", F.channel_shuffle),
    *(torch.roll, torch.tile, torch.repeat_interleave, "roll", "tile", "repeat_interleave", "repeat", "expand"),
)
PARTS = (torch.chunk, torch.split, torch.unbind, "chunk", "split", "unbind")
SIZES = ("size", "dim", "shape", "numel")
