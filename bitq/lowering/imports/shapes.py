"""Operators that move values: joins, shapes, slices and borders."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from torch import nn

from bitq.lowering.imports.call import Call
from bitq.lowering.imports.values import Const, Flow, Order, View


def concat(call: Call) -> Flow:
    """Values side by side."""
    flows = [call.flow(place) for place in range(len(call.inputs))]
    first = flows[0].seen
    axis = call.attribute("axis", 1) % len(first.axes)
    views = [flow.seen for flow in flows]
    if all(view.each and view.axes == first.axes for view in views) and first.axes[axis] == (1,):
        return stacked(call, [one for view in views for one in view.each], first.axes)
    moved = [call.moved(place) for place in range(len(flows))]
    order = moved[0][1]
    call.require(axis != order[0], "it joins along the batch")
    call.require(all(other == order for _, other in moved), "it joins values whose batch is another axis")
    values = [value for value, _ in moved]
    return flows[0] if len(values) == 1 else call.back(call.into.apply(torch.cat, values, order.index(axis)), order)


def stacked(call: Call, each: list[Flow], axes: tuple[Order, ...]) -> Flow:
    """Return values ``(batch, width)`` side by side as one with a part more, axes being those of the file."""
    joined = each[0] if len(each) == 1 else call.into.apply(torch.cat, each, 1)
    sizes = (1, len(each), each[0].example.shape[1])
    return joined.through(View(joined.example, sizes, axes, tuple(each)))


def gather(call: Call) -> Flow:
    """One place along an axis, or several, that are known."""
    flow, places = call.flow(0), call.array(1)
    axis = call.attribute("axis", 0) % len(flow.seen.axes)
    call.require(places.ndim <= 1, f"its places are {places.shape}; one, or a list of them, is covered")
    if places.ndim == 0 and flow.seen.each and flow.seen.axes[axis] == (1,):
        one = flow.seen.each[int(places)]
        return one.through(one.seen.permuted(tuple(a[0] // 2 for a in flow.seen.axes if a != (1,))))
    x, order = call.moved(0)
    call.require(axis != order[0], "it takes rows of the batch")
    index: list[Any] = [slice(None)] * len(order)
    index[order.index(axis)] = int(places) if places.ndim == 0 else [int(place) for place in places]
    y = call.into.apply(operator.getitem, x, tuple(index))
    return call.back(y, order if places.ndim else tuple(other for other in order if other != axis))


def split(call: Call) -> tuple[Flow, ...]:
    """Parts along an axis."""
    x, order = call.moved(0)
    axis = call.attribute("axis", 0) % len(order)
    call.require(axis != order[0], "it takes rows of the batch")
    place = order.index(axis)
    size, count = x.example.shape[place], call.attribute("num_outputs", len(call.outputs))
    sizes = call.integers("split", 1) or [-(-size // count)] * (count - 1)
    ends = [sum(sizes[:number]) for number in range(1, count)]
    parts = list[Flow]()
    for start, end in zip([0, *ends], [*ends, size], strict=True):
        call.require(0 <= start < end <= size, f"a part from {start} to {end} of {size} is none")
        index = (*[slice(None)] * place, slice(start, end))
        parts.append(call.back(call.into.apply(operator.getitem, x, index), order))
    return tuple(parts)


def flatten(call: Call) -> Flow:
    """Each row as a vector."""
    x = call.flow(0)
    axis = call.attribute("axis", 1)
    axis += len(x.seen.axes) * (axis < 0)
    call.require(axis == 1, f"axis={axis} leaves no row per sample; 1 is covered")
    return _reshaped(call, x, (1, x.example.numel()), 0)


def reshape(call: Call) -> Flow:
    """Each row in another shape."""
    x, sizes = call.flow(0), [int(size) for size in call.array(1).reshape(-1)]
    batch = sizes.index(-1) if -1 in sizes else None
    rows = call.into.rows
    if rows > 1 and (sizes[0] == rows or sizes.count(rows) == 1):  # a file that was written for so many at once
        batch = sizes.index(rows)
        sizes[batch] = 1
    if not call.attribute("allowzero", 0):
        kept = [place for place, size in enumerate(sizes) if size == 0]
        sizes = [x.example.shape[place] if place in kept else size for place, size in enumerate(sizes)]
        batch = x.seen.batch if x.seen.batch in kept else batch
    shape = tuple(x.example.reshape(sizes).shape)
    return _reshaped(call, x, shape, batch if batch is not None and shape[batch] == 1 else None)


def _reshaped(call: Call, x: Flow, shape: tuple[int, ...], batch: int | None) -> Flow:
    if (view := x.seen.reshaped(shape, batch)) is not None:
        return x.through(view)
    call.require(len(shape) > 1 and shape[0] == 1, f"it gives {shape}, which does not keep the rows of a batch")
    return call.into.apply(torch.reshape, call.real(0), (-1, *shape[1:]))


def squeeze(call: Call) -> Flow:
    """Without axes of one element."""
    x, axes = call.flow(0), call.integers("axes", 1)
    call.require(axes is not None, "its axes are not named")
    return x.through(x.seen.without({axis % len(x.seen.axes) for axis in axes or ()}))


def unsqueeze(call: Call) -> Flow:
    """With axes of one element more."""
    x, axes = call.flow(0), call.integers("axes", 1) or []
    rank = len(x.seen.axes) + len(axes)
    return x.through(x.seen.widened({axis % rank for axis in axes}))


def transpose(call: Call) -> Const | Flow:
    """Axes in another order."""
    value = call.tensor(0)
    rank = value.array.ndim if isinstance(value, Const) else value.example.dim()
    order = tuple(call.integers("perm") or reversed(range(rank)))
    if isinstance(value, Const):
        scale = None if value.scale is None else np.broadcast_to(value.scale, value.array.shape).transpose(order)
        codes = None if value.codes is None else value.codes.transpose(order)
        return Const(value.array.transpose(order), codes, scale)
    return value.through(value.seen.permuted(order))


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
    x, order = call.moved(0)
    starts, ends = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    index = [slice(None)] * len(order)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = order.index(axis % len(order))
        call.require(step > 0 and place > 0, f"axis {axis} with step {step} is not covered")
        index[place] = slice(start, min(end, 2**31 - 1), step)
    call.require(x.example[tuple(index)].numel() > 0, "nothing is left of it")
    return call.back(call.into.apply(operator.getitem, x, tuple(index)), order)


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
