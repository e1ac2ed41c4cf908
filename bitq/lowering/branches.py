"""What reads several values: sums, differences, products, and values side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import fx, nn

from bitq.ir.ops import Add, Concat
from bitq.ir.types import Rescale
from bitq.lowering.activations import product
from bitq.lowering.builder import Builder, Lazy, Stored, Value, lowest
from bitq.lowering.common import channels_last, operands, order, require
from bitq.lowering.shapes import Arranged, torch_order
from bitq.lowering.standins import Join, Minus, Plus, Times


def plus(builder: Builder, node: fx.Node, module: Plus | Minus) -> Value:
    """A sum or a difference of two values, each with its own scale; a clamp that follows is in its own."""
    layer, (a, b) = str(node.target), operands(builder, node)
    require(a.shape == b.shape, layer, f"it adds {a.shape} and {b.shape}; both sides need one shape")
    require(order(a) == order(b), layer, "it adds values that were flattened from different shapes")
    out = builder.activation(builder.seen(_before_clamp(node)), a.type.shape)
    ratios = np.array([a.type.scale, b.type.scale]) / out.scale
    shift = int(np.clip(14 - np.floor(np.log2(ratios.max())), 0, 30))
    first, second = (int(m) for m in np.clip(np.rint(ratios * 2.0**shift), 1, 32767))
    rescale = Rescale(np.ones(1, np.int16), 0, shift, out.zero_point, lowest(out.dtype), out.dtype.high)
    name = builder.name(layer)
    builder.add(
        Add(
            name=name,
            inputs=(a.name, b.name),
            out=out,
            layer=layer,
            multipliers=(first, -second if isinstance(module, Minus) else second),
            rescale=rescale,
        )
    )
    return Stored(name, out, a.shape, a.flat_from)


def times(builder: Builder, node: fx.Node, module: Times) -> Value:
    """A product of two values; one may be a gate per channel or per place."""
    layer, (a, b) = str(node.target), operands(builder, node)
    if a.type.size < b.type.size:
        a, b = b, a
    forms = {a.shape, (a.shape[0], *[1] * (len(a.shape) - 1)), (1, *a.shape[1:]), (1,) * len(a.shape)}
    what = f"it multiplies {a.shape} and {b.shape}; a gate has the same shape, one value per channel or one per place"
    require(b.shape in forms, layer, what)
    require(a.shape != b.shape or order(a) == order(b), layer, "it multiplies values flattened from different shapes")
    return product(builder, node, a, b)


def join(builder: Builder, node: fx.Node, module: Join) -> Value | Lazy:
    """Values side by side, along their channels or another axis, brought to one type first; one alone is itself."""
    layer, values = str(node.target), operands(builder, node)
    shape = builder.seen(node).shape
    axis = module.dim % (len(shape) + 1) - 1
    require(axis >= 0, layer, f"dim={module.dim} joins rows of the batch; use dim=1")
    if len(values) == 1:
        return values[0]
    if axis > 0:  # as channels, and back
        moved = [Arranged(layer, value, np.moveaxis(torch_order(value), axis, 0)).settle(builder) for value in values]
        joined = _joined(builder, node, moved, (shape[axis], *shape[:axis], *shape[axis + 1 :]))
        return Arranged(layer, joined, np.moveaxis(torch_order(joined), 0, axis))
    joined = _joined(builder, node, values, shape)
    if not any(value.flat_from for value in values):
        return joined
    starts = np.cumsum([0, *(value.type.size for value in values)])
    places = [torch_order(value) + start for value, start in zip(values, starts, strict=False)]
    return Arranged(layer, joined, np.concatenate(places))


def _joined(builder: Builder, node: fx.Node, values: list[Stored], shape: tuple[int, ...]) -> Stored:
    layer = str(node.target)
    kinds = {(value.type.dtype.name, value.type.scale, value.type.zero_point) for value in values}
    out = values[0].type if len(kinds) == 1 else builder.activation(builder.seen(node), ())
    names = [builder.cast(layer, value, out).name for value in values]
    name = builder.name(layer)
    out = replace(out, shape=channels_last(shape))
    builder.add(Concat(name=name, inputs=tuple(names), out=out, layer=layer))
    return Stored(name, out, shape)


def _before_clamp(node: fx.Node) -> fx.Node:
    """Return the clamp that is the only reader of a value, or the value itself."""
    user = next(iter(node.users)) if len(node.users) == 1 else node
    modules = node.graph.owning_module
    if user.op != "call_module" or modules is None:
        return node
    return user if isinstance(modules.get_submodule(str(user.target)), nn.ReLU | nn.Hardtanh) else node
