"""What moves values and computes nothing: flattening, views, slices, transposes, padding.

All of them are kept as indices into what they move until something reads them, so that a chain of them costs one
copy at most, and none where the integers already lie in the order that is wanted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from bitq.ir.ops import Flatten, Pad, Pair, Reshape, View
from bitq.lowering.builder import Builder, Lazy, Pending, Stored, Value
from bitq.lowering.common import channels_last, require, source

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Arranged(Lazy):
    """Elements of a stored value in another order or shape, or some of them.

    Attributes:
        layer: for messages.
        x: where they are.
        index: torch's array, without the batch, of places in the flat ``x``.
    """

    layer: str
    x: Stored
    index: Indices

    @property
    def permutes(self) -> bool:
        """Whether it is a vector of all elements in an order of its own."""
        flat = torch_order(self.x).ravel()
        own = self.index.ndim == 1 and len(self.index) == len(flat) and not np.array_equal(self.index, flat)
        return own and len(np.unique(self.index)) == len(flat)

    def settle(self, builder: Builder) -> Stored:
        """Add a change of shape, a view, or nothing."""
        shape, x = self.index.shape, self.x
        if not shape:
            return replace(self, index=self.index.reshape(1)).settle(builder)
        require(1 <= len(shape) <= 3, self.layer, f"it gives {shape} per sample; one to three dimensions are covered")
        if shape == x.shape and np.array_equal(self.index, torch_order(x)):
            return x
        what = "it repeats elements; let what reads them have fewer channels, or nn.Linear widen them"
        require(self.index.size <= x.type.size, self.layer, what)
        wanted = channels_last(shape)
        flat = (self.index if len(shape) == 1 else np.moveaxis(self.index, 0, -1)).ravel()
        name = builder.name(self.layer)
        if len(shape) == 1 and np.array_equal(flat, torch_order(x).ravel()):
            out = replace(x.type, shape=shape)
            builder.add(Flatten(name=name, inputs=(x.name,), out=out, layer=self.layer))
            return Stored(name, out, shape, x.flat_from or x.shape)
        loops = _loops(flat)
        require(loops is not None, self.layer, "no three nested loops copy its elements in that order; split it up")
        assert loops is not None
        offset, sizes, strides = loops
        if len(flat) != x.type.size or (sizes, strides, offset) != ((x.type.size,), (1,), 0):
            moved = builder.name(f"{self.layer}_moved") if sizes != wanted else name
            out = replace(x.type, shape=sizes)
            builder.add(View(name=moved, inputs=(x.name,), out=out, layer=self.layer, offset=offset, strides=strides))
            x = Stored(moved, out, shape)
        if x.type.shape != wanted:
            out = replace(x.type, shape=wanted)
            builder.add(Reshape(name=name, inputs=(x.name,), out=out, layer=self.layer))
            x = Stored(name, out, shape)
        return replace(x, shape=shape, flat_from=None)


@dataclass(frozen=True, eq=False)
class Padded(Lazy):
    """A stored value with a border that the convolution behind it may bring along itself.

    Attributes:
        layer: for messages.
        x: what is inside.
        padding: ``((top, bottom), (left, right))``.
        value: integer of the border.
    """

    layer: str
    x: Stored
    padding: tuple[Pair, Pair]
    value: int

    def settle(self, builder: Builder) -> Stored:
        """Add a border."""
        return padded(builder, self.layer, self.x, self.padding, self.value)


def rearrange(builder: Builder, node: fx.Node, module: nn.Module) -> Value | Lazy:
    """Anything that torch itself can do to an array of places: views, slices, transposes."""
    layer, value = str(node.target), builder.raw(source(node))
    if (
        isinstance(value, Pending)
        and (cut := _cut(value, _moved(module, _torch_places(value.shape), layer))) is not None
    ):
        return cut
    value = arranged(builder, node)
    return Arranged(layer, value.x, _moved(module, value.index, layer))


def arranged(builder: Builder, node: fx.Node) -> Arranged:
    """Return what a call reads as places of a stored value."""
    value = builder.raw(source(node))
    if isinstance(value, Arranged):
        return value
    x = builder.stored(source(node))
    return Arranged(str(node.target), x, torch_order(x))


def pad(builder: Builder, node: fx.Node, module: Any) -> Value | Lazy:
    """A border of a constant."""
    layer, x = str(node.target), builder.stored(source(node))
    sizes = [int(size) for size in module.padding]
    require(len(x.shape) > 1, layer, "it pads a vector; pad the sequence or image before it")
    require(min(sizes) >= 0, layer, f"padding={tuple(sizes)} cuts; use a slice")
    require(len(sizes) <= 2 * (len(x.shape) - 1), layer, f"padding={tuple(sizes)} pads the channels")
    left, right, top, bottom = (*sizes, 0, 0, 0, 0)[:4]
    real = float(getattr(module, "value", 0.0) or 0.0)
    value = round(real / x.type.scale) + x.type.zero_point
    if not x.type.dtype.low <= value <= x.type.dtype.high:
        x = builder.cast(layer, x, builder.activation(builder.seen(node), ()))
        value = round(real / x.type.scale) + x.type.zero_point
    return Padded(layer, x, ((top, bottom), (left, right)), value)


def padded(builder: Builder, layer: str, x: Stored, padding: tuple[Pair, Pair], value: int) -> Stored:
    """Return a value with a border of one integer."""
    height, width, channels = x.type.shape
    out = replace(x.type, shape=(height + sum(padding[0]), width + sum(padding[1]), channels))
    name = builder.name(f"{layer}_padded")
    builder.add(Pad(name=name, inputs=(x.name,), out=out, layer=layer, padding=padding, value=value))
    shape = (channels, *out.shape[3 - len(x.shape) : 2])
    return Stored(name, out, shape)


def torch_order(x: Stored) -> Indices:
    """Return where each element of torch's array is in the flat value."""
    shape = x.flat_from or x.shape
    places = np.arange(x.type.size, dtype=np.int64)
    if len(shape) == 1:
        return places.reshape(x.shape)
    return np.moveaxis(places.reshape(*shape[1:], shape[0]), -1, 0).reshape(x.shape)


def _torch_places(shape: tuple[int, ...]) -> Indices:
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)


def _moved(module: nn.Module, index: Indices, layer: str) -> Indices:
    """Apply a module to an array of places, in a batch of two, whose rows it may not mix."""
    apart = int(index.max()) + 1
    rows = module(torch.from_numpy(np.stack([index, index + apart]))).numpy()
    kept = len(rows) == 2 and np.array_equal(rows[0] + apart, rows[1])
    require(kept, layer, "it mixes the rows of a batch; keep dim 0, as torch.flatten(x, 1) does")
    return rows[0]


def _cut(value: Pending, index: Indices) -> Pending | None:
    """Return a convolution with less padding for one whose output is cut at its ends; None for another."""
    places = _torch_places(value.shape)
    if value.stride != (1, 1) or index.ndim != places.ndim or index.shape[0] != places.shape[0] or not index.size:
        return None
    first = np.unravel_index(int(index.ravel()[0]), places.shape)[1:]
    ends = [size - start - kept for size, start, kept in zip(places.shape[1:], first, index.shape[1:], strict=True)]
    part = places[(slice(None), *(slice(s, s + n) for s, n in zip(first, index.shape[1:], strict=True)))]
    if min(ends) < 0 or not np.array_equal(part, index):
        return None
    starts, ends = [*[0] * (3 - index.ndim), *map(int, first)], [*[0] * (3 - index.ndim), *ends]
    (top, bottom), (left, right) = value.padding
    padding = ((top - starts[0], bottom - ends[0]), (left - starts[1], right - ends[1]))
    if min(*padding[0], *padding[1]) < 0:
        return None
    return replace(value, padding=padding, shape=index.shape, out_shape=channels_last(index.shape))


def _loops(flat: Indices) -> tuple[int, tuple[int, ...], tuple[int, ...]] | None:
    """Return offset, sizes and strides of at most three nested loops that visit these places in this order."""
    offset = int(flat[0])
    sizes, strides = list[int](), list[int]()
    while len(flat) > 1:
        steps = np.diff(flat)
        breaks = np.flatnonzero(steps != steps[0]) + 1
        # A run may go on by chance into the next one, so runs of one length are what all breaks have in common.
        size = math.gcd(len(flat), *(int(b) for b in breaks))
        if size == 1 or (np.diff(flat.reshape(-1, size), axis=1) != steps[0]).any() or len(sizes) == 3:
            return None
        sizes.insert(0, size)
        strides.insert(0, int(steps[0]))
        flat = flat[::size]
    return offset, tuple(sizes) or (1,), tuple(strides) or (1,)
