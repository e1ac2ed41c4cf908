"""How each module type becomes operations: one function per type, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx, nn

from bitq.core.errors import DeployError
from bitq.ir.ops import Pair
from bitq.lowering.activations import affine, batch_norm, clamp, hard_sigmoid, hard_swish, leaky, square, table
from bitq.lowering.branches import join, plus, times
from bitq.lowering.builder import Builder, Lazy, Pending, Stored, Value
from bitq.lowering.common import channels_last, pair, real, require, source
from bitq.lowering.fixed import Reals
from bitq.lowering.heads import MeanSquaredError, mean_squared_error
from bitq.lowering.imports.roundings import Quantize, quantize
from bitq.lowering.instead import computes_weight
from bitq.lowering.pools import (
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    max_pool,
    mean,
    padded_max,
)
from bitq.lowering.recurrent import RECURRENT
from bitq.lowering.shapes import Arranged, Padded, arranged, pad, rearrange, torch_order
from bitq.lowering.standins import (
    Affine,
    Curve,
    Join,
    Mean,
    Minus,
    Most,
    PaddedMax,
    Plus,
    Rearranged,
    Reshape,
    Square,
    Sum,
    Times,
)
from bitq.quant.matrix import QuantizedWeight

Lowering = Callable[[Builder, fx.Node, Any], Value | Lazy]


def linear(builder: Builder, node: fx.Node, module: nn.Linear) -> Value | Lazy:
    """A dense layer; columns follow the channels-last order of a flattened input.

    On more than a vector it is a convolution over one place whose channels are the last axis.
    """
    layer, value = str(node.target), builder.raw(source(node))
    weight = builder.weight(node, layer)
    codes = weight.codes
    if isinstance(value, Arranged) and value.permutes:
        # The columns follow, so nothing has to move.
        x, codes = value.x, np.empty_like(codes)
        codes[:, value.index] = weight.codes
        return _dense(layer, x, codes, weight, module)
    if len(builder.seen(node).shape) > 1:
        return _at_every_place(builder, node, module, weight)
    x = builder.stored(source(node))
    if x.flat_from is not None and len(x.flat_from) > 1:
        codes = np.moveaxis(codes.reshape(len(codes), *x.flat_from), 1, -1).reshape(len(codes), -1)
    return _dense(layer, x, codes, weight, module)


def _dense(layer: str, x: Stored, codes: NDArray[np.int8], weight: QuantizedWeight, module: nn.Linear) -> Pending:
    out = (module.out_features,)
    gain = np.broadcast_to(weight.scale * x.type.scale, out)
    return Pending(layer, x, np.ascontiguousarray(codes), weight, gain, _bias(module), out, out)


def _at_every_place(builder: Builder, node: fx.Node, module: nn.Linear, weight: QuantizedWeight) -> Lazy:
    layer, value = str(node.target), arranged(builder, node)
    x = replace(value, index=np.moveaxis(value.index, -1, 0)).settle(builder)
    shape = (module.out_features, *x.shape[1:])
    gain = np.broadcast_to(weight.scale * x.type.scale, shape[:1])
    codes = np.ascontiguousarray(weight.codes[:, None, None, :])
    made = Pending(layer, x, codes, weight, gain, _bias(module), channels_last(shape), shape, (1, 1))
    y = builder.cast(layer, made, builder.activation(builder.seen(node), ()))
    return Arranged(layer, y, np.moveaxis(torch_order(y), 0, -1))


def convolution(builder: Builder, node: fx.Node, module: nn.Conv1d | nn.Conv2d) -> Value:
    """A convolution over one or two dimensions, depthwise and dilated ones included."""
    layer, value = str(node.target), builder.raw(source(node))
    weight = builder.weight(node, layer)
    require(module.padding_mode == "zeros", layer, f"padding_mode='{module.padding_mode}'; only zeros are covered")
    codes = weight.codes if weight.codes.ndim == 4 else weight.codes[:, :, None, :]
    kernel = (codes.shape[2], codes.shape[3])
    dilation = pair(module.dilation)
    padding = _conv_padding(module, ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1))
    if isinstance(value, Padded) and value.value == value.x.type.zero_point:
        x = value.x
        (top, bottom), (left, right) = ((a + c, b + d) for (a, b), (c, d) in zip(padding, value.padding, strict=True))
        padding = ((top, bottom), (left, right))
    else:
        x = builder.stored(source(node))
    stride = pair(module.stride)
    shape = builder.seen(node).shape
    gain = np.broadcast_to(weight.scale * x.type.scale, (module.out_channels,))
    return Pending(
        layer,
        x,
        np.ascontiguousarray(np.moveaxis(codes, 1, -1)),
        weight,
        gain,
        _bias(module),
        channels_last(shape),
        shape,
        stride,
        padding,
        module.groups,
        dilation,
    )


def softmax(builder: Builder, node: fx.Node, module: nn.Softmax | nn.LogSoftmax) -> Value:
    """Always refused: as the last step it is gone before this."""
    raise DeployError(
        f"layer '{node.target}' cannot be lowered: a softmax is covered as the last step over dim=1 of a classifier, "
        "where it is dropped because it does not change which score is largest; elsewhere torch.sigmoid is a gate."
    )


def nothing(builder: Builder, node: fx.Node, module: nn.Module) -> Value | Lazy:
    """A module that does nothing in inference."""
    return builder.raw(source(node))


MODULES: dict[type[nn.Module], Lowering] = {
    nn.Linear: linear,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    **dict.fromkeys((nn.ReLU, nn.ReLU6, nn.Hardtanh), clamp),
    **dict.fromkeys((nn.LeakyReLU, nn.PReLU, nn.RReLU), leaky),
    nn.Hardsigmoid: hard_sigmoid,
    nn.Hardswish: hard_swish,
    **dict.fromkeys((nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus, nn.Softsign, nn.LogSigmoid), table),
    **dict.fromkeys((nn.ELU, nn.CELU, nn.SELU, nn.Mish, Curve), table),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d), max_pool),
    PaddedMax: padded_max,
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d), average_pool),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), adaptive_average_pool),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d), adaptive_max_pool),
    **dict.fromkeys((nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d), pad),
    **dict.fromkeys((nn.Flatten, nn.Unflatten, nn.ChannelShuffle), rearrange),
    **dict.fromkeys((Reshape, Rearranged), rearrange),
    **dict.fromkeys((Mean, Sum, Most), mean),
    **dict.fromkeys((Plus, Minus), plus),
    Times: times,
    Affine: affine,
    Square: square,
    Join: join,
    MeanSquaredError: mean_squared_error,
    Quantize: quantize,
    **RECURRENT,
    **dict.fromkeys((nn.Softmax, nn.LogSoftmax), softmax),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout), nothing),
    nn.Identity: nothing,
}


def lowering_of(module: nn.Module) -> Lowering | None:
    """Return how a module becomes operations; a subclass without a forward pass of its own does as its base does."""
    kinds = (kind for kind in type(module).__mro__ if kind in MODULES and kind.forward is type(module).forward)
    return None if computes_weight(module) else MODULES.get(next(kinds, nn.Module))


def _conv_padding(module: nn.Conv1d | nn.Conv2d, reach: Pair) -> tuple[Pair, Pair]:
    if module.padding == "same":
        # torch puts the odd sample at the end.
        before = ((reach[0] - 1) // 2, (reach[1] - 1) // 2)
        return (before[0], reach[0] - 1 - before[0]), (before[1], reach[1] - 1 - before[1])
    if module.padding == "valid":
        return (0, 0), (0, 0)
    sizes: Any = module.padding
    vertical, horizontal = (0, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
    return (vertical, vertical), (horizontal, horizontal)


def _bias(module: nn.Linear | nn.Conv1d | nn.Conv2d) -> Reals:
    return np.zeros(len(module.weight)) if module.bias is None else real(module.bias)
