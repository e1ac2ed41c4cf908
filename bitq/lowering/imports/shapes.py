"""Operators that move values: joins, shapes, slices and borders."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import nn

from bitq.lowering.imports.call import Call
from bitq.lowering.imports.importer import Const, Flow


def concat(call: Call) -> Flow:
    """Values side by side."""
    values = [call.real(place) for place in range(len(call.inputs))]
    axis = call.attribute("axis", 1) % values[0].example.dim()
    call.require(axis != 0, "it joins along the batch")
    return values[0] if len(values) == 1 else call.into.apply(torch.cat, values, axis)


def flatten(call: Call) -> Flow:
    """Each row as a vector."""
    x = call.real(0)
    axis = call.attribute("axis", 1)
    axis += x.example.dim() * (axis < 0)
    call.require(axis == 1, f"axis={axis} leaves no row per sample; 1 is covered")
    return call.into.apply(torch.flatten, x, 1)


def reshape(call: Call) -> Flow:
    """Each row in another shape."""
    x, sizes = call.real(0), [int(size) for size in call.array(1).reshape(-1)]
    if not call.attribute("allowzero", 0):
        sizes = [x.example.shape[place] if size == 0 else size for place, size in enumerate(sizes)]
    return _reshaped(call, x, tuple(x.example.reshape(sizes).shape))


def squeeze(call: Call) -> Flow:
    """Without axes of one element."""
    x = call.real(0)
    axes = call.integers("axes", 1)
    call.require(axes is not None, "its axes are not named")
    drop = {axis % x.example.dim() for axis in axes or ()}
    call.require(0 not in drop, "it drops the batch")
    return _reshaped(call, x, tuple(s for place, s in enumerate(x.example.shape) if place not in drop))


def unsqueeze(call: Call) -> Flow:
    """With axes of one element more."""
    x, axes = call.real(0), call.integers("axes", 1) or []
    rank = x.example.dim() + len(axes)
    new, old = {axis % rank for axis in axes}, iter(x.example.shape)
    call.require(0 not in new, "it adds an axis before the batch")
    return _reshaped(call, x, tuple(1 if place in new else next(old) for place in range(rank)))


def _reshaped(call: Call, x: Flow, shape: tuple[int, ...]) -> Flow:
    call.require(len(shape) > 1 and shape[0] == 1, f"it gives {shape}, which does not keep the rows of a batch")
    if len(shape) == 2:
        return call.into.apply(torch.flatten, x, 1)
    return call.into.apply(torch.reshape, x, (-1, *shape[1:]))


def transpose(call: Call) -> Const | Flow:
    """Axes in another order."""
    value = call.tensor(0)
    rank = value.array.ndim if isinstance(value, Const) else value.example.dim()
    order = tuple(call.integers("perm") or reversed(range(rank)))
    if isinstance(value, Const):
        scale = None if value.scale is None else np.broadcast_to(value.scale, value.array.shape).transpose(order)
        codes = None if value.codes is None else value.codes.transpose(order)
        return Const(value.array.transpose(order), codes, scale)
    call.require(order[0] == 0, "it moves the batch")
    return call.into.apply(torch.permute, call.real(0), order)


def pad(call: Call) -> Flow:
    """A border of a constant."""
    x, mode = call.real(0), call.attribute("mode", "constant")
    call.require(mode == "constant", f"mode={mode}; only a constant is covered")
    sizes = call.integers("pads", 1) or []
    rank = x.example.dim()
    axes = [axis % rank for axis in call.integers("axes", 3) or range(rank)]
    before, after = dict(zip(axes, sizes, strict=False)), dict(zip(axes, sizes[len(axes) :], strict=True))
    call.require(not (before.get(0) or before.get(1) or after.get(0) or after.get(1)), "it pads batch or channels")
    value = call.number(2) if call.has(2) else float(call.attribute("value", 0.0))
    places = range(2, rank)
    return border(call, x, [before.get(i, 0) for i in places], [after.get(i, 0) for i in places], value)


def cut(call: Call) -> Flow:
    """A slice along axes."""
    x = call.real(0)
    starts, ends = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    index = [slice(None)] * x.example.dim()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        call.require(step > 0 and axis % x.example.dim() > 0, f"axis {axis} with step {step} is not covered")
        index[axis % x.example.dim()] = slice(start, min(end, 2**31 - 1), step)
    call.require(x.example[tuple(index)].numel() > 0, "nothing is left of it")
    return call.into.apply(operator.getitem, x, tuple(index))


def border(call: Call, x: Flow, before: list[int], after: list[int], value: float) -> Flow:
    """Add a border of so many places before and after each dimension."""
    sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    sizes: Any = tuple(sides)
    kinds: dict[int, tuple[Any, Any]] = {2: (nn.ZeroPad1d, nn.ConstantPad1d), 4: (nn.ZeroPad2d, nn.ConstantPad2d)}
    call.require(len(sides) in kinds, f"it pads {len(before)} dimensions; 1 and 2 are covered")
    zero, constant = kinds[len(sides)]
    return call.into.call(f"{call.name}_pad", zero(sizes) if value == 0 else constant(sizes, value), x)


def pads(call: Call, size: list[int], reach: list[int], stride: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the padding before and after each dimension."""
    mode = call.attribute("auto_pad", "NOTSET")
    dims = len(size)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in zip(size, stride, reach, strict=True)]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        return (small, large) if mode == "SAME_UPPER" else (large, small)
    given = [0] * 2 * dims if mode == "VALID" else call.integers("pads") or [0] * 2 * dims
    call.require(min(given, default=0) >= 0, f"pads={given} cut; 0 is the least")
    return given[:dims], given[dims:]
