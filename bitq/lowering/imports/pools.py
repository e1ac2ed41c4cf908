"""Pools and what is taken over whole axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bitq.lowering.imports.call import Call, Handler
from bitq.lowering.imports.shapes import border, pads
from bitq.lowering.imports.values import Flow
from bitq.lowering.standins import PaddedMax


def max_pool(call: Call) -> Flow:
    """Max pooling."""
    call.require(not call.attribute("storage_order", 0), "storage_order=1 is not covered")
    kernel, stride, before, after = _window(call, call.real(0))
    dilation = tuple(call.integers("dilations") or [1] * len(kernel))
    if before != after or any(2 * side > size for side, size in zip(before, kernel, strict=True)):
        plain = set(dilation) == {1} and not call.attribute("ceil_mode", 0)
        call.require(plain, "with a border that torch does not know, dilations and ceil_mode are not covered")
        return call.into.call(call.name, PaddedMax(kernel, stride, before, after), call.real(0))
    kind = nn.MaxPool1d if len(kernel) == 1 else nn.MaxPool2d
    sizes: Any = (kernel, stride, tuple(before), dilation)
    return call.into.call(call.name, kind(*sizes, ceil_mode=bool(call.attribute("ceil_mode", 0))), call.real(0))


def average_pool(call: Call) -> Flow:
    """Average pooling."""
    return averaged(call, call.real(0))


def averaged(call: Call, x: Flow) -> Flow:
    """Add average pooling with the geometry of a node."""
    kernel, stride, before, after = _window(call, x)
    included = bool(call.attribute("count_include_pad", 0)) or not any(before + after)
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


def reduced(function: Callable[..., Tensor]) -> Handler:
    """Return the handler of the mean, the sum or the largest value over axes."""

    def handle(call: Call) -> Flow:
        x, order = call.moved(0)
        axes = call.integers("axes", 1)
        call.require(bool(axes) or not call.attribute("noop_with_empty_axes", 0), "without axes it does nothing")
        keep, rank = bool(call.attribute("keepdims", 1)), len(order)
        over = {axis % rank for axis in axes or range(rank)}
        call.require(order[0] not in over, "it is taken over the rows of a batch")
        y = call.into.apply(function, x, [place for place, axis in enumerate(order) if axis in over], keep)
        return call.back(y, order if keep else tuple(axis for axis in order if axis not in over))

    return handle


def _window(call: Call, x: Flow) -> tuple[tuple[int, ...], tuple[int, ...], list[int], list[int]]:
    """Return kernel, stride, and the padding before and after each dimension."""
    kernel = tuple(call.integers("kernel_shape") or [])
    call.require(len(kernel) in (1, 2), f"it is over {len(kernel)} dimensions; 1 and 2 are covered")
    stride = tuple(call.integers("strides") or [1] * len(kernel))
    return kernel, stride, *pads(call, list(x.example.shape[2:]), list(kernel), stride)


POOLS: dict[str, Handler] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d),
    "GlobalMaxPool": global_pool(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
    "MaxPool": max_pool,
    "ReduceMax": reduced(torch.amax),
    "ReduceMean": reduced(torch.mean),
    "ReduceSum": reduced(torch.sum),
}
"""Rows for the table of all operators."""
