"""Pools and means."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from torch import fx, nn

from bitq.ir.ops import NO_PADDING, AvgPool, MaxPool, Pair, Reshape
from bitq.lowering.builder import Builder, Lazy, Stored, Value
from bitq.lowering.common import channels_last, pair, require, source, window
from bitq.lowering.fixed import Reals, fix
from bitq.lowering.shapes import Arranged, padded, torch_order
from bitq.lowering.standins import Mean, Most, PaddedMax


def max_pool(builder: Builder, node: fx.Node, module: nn.MaxPool1d | nn.MaxPool2d) -> Value:
    """Max pooling; windows that reach over the end, as ceil_mode lets them, see padding there."""
    layer, x = str(node.target), builder.stored(source(node))
    require(pair(module.dilation) == (1, 1), layer, f"dilation={module.dilation} is not covered; use 1")
    require(not module.return_indices, layer, "return_indices=True is not covered; use False")
    kernel, stride, pad = window(module.kernel_size, x), window(module.stride, x), _padding(module.padding, x)
    out = replace(x.type, shape=channels_last(builder.seen(node).shape))
    needed = [(out.shape[i] - 1) * stride[i] + kernel[i] - x.type.shape[i] - pad[i] for i in range(2)]
    padding = ((pad[0], max(pad[0], needed[0])), (pad[1], max(pad[1], needed[1])))
    return _largest(builder, node, x, kernel, stride, padding, builder.seen(node).shape)


def padded_max(builder: Builder, node: fx.Node, module: PaddedMax) -> Value:
    """Max pooling with any border."""
    x = builder.stored(source(node))
    kernel, stride = window(module.kernel, x), window(module.stride, x)
    padding = (*[(0, 0)] * (2 - len(module.padding)), *module.padding)
    return _largest(builder, node, x, kernel, stride, (padding[0], padding[1]), builder.seen(node).shape)


def adaptive_max_pool(builder: Builder, node: fx.Node, module: nn.AdaptiveMaxPool1d | nn.AdaptiveMaxPool2d) -> Value:
    """Adaptive max pooling with windows of one size."""
    x = builder.stored(source(node))
    require(not module.return_indices, str(node.target), "return_indices=True is not covered; use False")
    kernel, stride = _windows(builder, node, x, module.output_size)
    return _largest(builder, node, x, kernel, stride, NO_PADDING, builder.seen(node).shape)


def average_pool(builder: Builder, node: fx.Node, module: nn.AvgPool1d | nn.AvgPool2d) -> Value:
    """Average pooling; padding counts as zeros, as it does in torch."""
    layer, x = str(node.target), builder.stored(source(node))
    require(not module.ceil_mode, layer, "ceil_mode=True is not covered; use False")
    divisor = getattr(module, "divisor_override", None)
    require(divisor is None, layer, f"divisor_override={divisor} is not covered; leave it out")
    pad = _padding(module.padding, x)
    if any(pad):
        require(module.count_include_pad, layer, "count_include_pad=False with padding is not covered; use True")
        x = padded(builder, layer, x, ((pad[0], pad[0]), (pad[1], pad[1])), x.type.zero_point)
    kernel, stride = window(module.kernel_size, x), window(module.stride, x)
    return _average(builder, node, x, kernel, stride, builder.seen(node).shape)


def adaptive_average_pool(
    builder: Builder, node: fx.Node, module: nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d
) -> Value:
    """Adaptive average pooling with windows of one size."""
    x = builder.stored(source(node))
    kernel, stride = _windows(builder, node, x, module.output_size)
    return _average(builder, node, x, kernel, stride, builder.seen(node).shape)


def mean(builder: Builder, node: fx.Node, module: Mean) -> Value | Lazy:
    """The mean, the sum or the maximum over places, over channels, or over both."""
    layer, x = str(node.target), builder.stored(source(node))
    shape, rank = x.shape, len(x.shape) + 1
    dims = sorted(dim % rank for dim in module.dim) or list(range(1, rank))
    require(dims[0] > 0, layer, f"dim={module.dim} takes it over the rows of a batch")
    height, width, channels = x.type.shape if len(x.type.shape) == 3 else (1, 1, x.type.size)
    over = {axis: rank - 2 + axis in dims for axis in range(2)} if rank > 2 else {0: True, 1: True}
    over[0] = over[0] or rank == 3
    if 1 not in dims:
        kernel = (height if over[0] else 1, width if over[1] else 1)
    else:
        whole = len(dims) == rank - 1
        require(whole or dims == [1], layer, f"dim={module.dim}; give all dimensions, the channels, or places only")
        x = _shaped(builder, layer, x, (1, 1 if whole else height * width, x.type.size if whole else channels))
        x = _shaped(builder, layer, x, (x.type.shape[1], x.type.shape[2], 1))
        kernel = (1, x.type.shape[1])
    places = (x.type.shape[0] // kernel[0], x.type.shape[1] // kernel[1], x.type.shape[2])
    made = (places[2], *places[:2])
    if isinstance(module, Most):
        out = _largest(builder, node, x, kernel, kernel, NO_PADDING, made)
    else:
        out = _average(builder, node, x, kernel, kernel, made, total=module.total)
    kept = tuple(1 if axis + 1 in dims else size for axis, size in enumerate(shape))
    out = replace(_shaped(builder, layer, out, channels_last(kept)), shape=kept)
    wanted = builder.seen(node).shape
    return out if wanted == kept else Arranged(layer, out, torch_order(out).reshape(wanted))


def _shaped(builder: Builder, layer: str, x: Stored, shape: tuple[int, ...]) -> Stored:
    """Return the same integers in another shape of the graph."""
    if x.type.shape == shape:
        return x
    name = builder.name(f"{layer}_shaped")
    out = replace(x.type, shape=shape)
    builder.add(Reshape(name=name, inputs=(x.name,), out=out, layer=layer))
    return Stored(name, out, shape)


def _largest(
    builder: Builder,
    node: fx.Node,
    x: Stored,
    kernel: Pair,
    stride: Pair,
    padding: tuple[Pair, Pair],
    shape: tuple[int, ...],
) -> Stored:
    layer = str(node.target)
    out = replace(x.type, shape=channels_last(shape))
    name = builder.name(layer)
    builder.add(
        MaxPool(name=name, inputs=(x.name,), out=out, layer=layer, kernel=kernel, stride=stride, padding=padding)
    )
    return Stored(name, out, shape)


def _average(
    builder: Builder,
    node: fx.Node,
    x: Stored,
    kernel: Pair,
    stride: Pair,
    shape: tuple[int, ...],
    *,
    total: bool = False,
) -> Stored:
    layer, count = str(node.target), kernel[0] * kernel[1]
    out = builder.activation(builder.seen(node), channels_last(shape))
    reach = count * (x.type.dtype.high - min(x.type.dtype.low, 0))
    gain: Reals = np.array([x.type.scale / (1 if total else count) / out.scale])
    fixed = fix(gain, np.zeros(1), reach, out.dtype, out.zero_point, low=out.dtype.low, high=out.dtype.high)
    name = builder.name(layer)
    builder.add(
        AvgPool(
            name=name, inputs=(x.name,), out=out, layer=layer, kernel=kernel, stride=stride, rescale=fixed.rescale
        )
    )
    return Stored(name, out, shape)


def _windows(builder: Builder, node: fx.Node, x: Stored, wanted: Any) -> tuple[Pair, Pair]:
    """Return kernel and stride of an adaptive pool, whose windows have to be alike."""
    kernel, stride = [0, 0], [0, 0]
    for axis, out in enumerate(channels_last(builder.seen(node).shape)[:2]):
        size = x.type.shape[axis]
        starts = [i * size // out for i in range(out)]
        lengths = {-(-(i + 1) * size // out) - start for i, start in enumerate(starts)}
        steps = {b - a for a, b in itertools.pairwise(starts)} or {1}
        alike = len(lengths) == len(steps) == 1
        what = f"output_size={wanted} of {size} places needs windows of several sizes; use a divisor of {size}"
        require(alike, str(node.target), what)
        kernel[axis], stride[axis] = lengths.pop(), steps.pop()
    return (kernel[0], kernel[1]), (stride[0], stride[1])


def _padding(size: Any, x: Stored) -> Pair:
    vertical, horizontal = pair(size)
    return (vertical, horizontal) if len(x.shape) == 3 else (0, horizontal)
