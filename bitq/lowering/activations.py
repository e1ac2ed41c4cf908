"""Activations: clamps fold into the layer before them, straight lines are computed, curves are looked up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import fx, nn

from bitq.ir.ops import Lookup, Mul, Ramp, Requantize
from bitq.ir.types import Rescale, TensorType
from bitq.lowering.builder import Builder, Lazy, Pending, Stored, Value, lowest
from bitq.lowering.common import real, require, source
from bitq.lowering.fixed import Reals, fix
from bitq.lowering.shapes import Arranged, torch_order
from bitq.lowering.standins import Affine, Square

_NARROWER = 0.5 ** np.arange(0, 6, 0.25)


def clamp(builder: Builder, node: fx.Node, module: nn.ReLU | nn.ReLU6 | nn.Hardtanh) -> Value:
    """A clamp, in the rescale of the layer right before it where there is one."""
    low, high = (0.0, np.inf) if isinstance(module, nn.ReLU) else (float(module.min_val), float(module.max_val))
    return _clamped(builder, node, builder.value(source(node)), low, high)


def leaky(builder: Builder, node: fx.Node, module: nn.LeakyReLU | nn.PReLU | nn.RReLU) -> Value:
    """A slope below zero, per channel for `nn.PReLU`."""
    match module:
        case nn.PReLU():
            slope = real(module.weight)
        case nn.RReLU():
            slope = np.array([(module.lower + module.upper) / 2])
        case _:
            slope = np.array([module.negative_slope])
    return _ramp(builder, node, builder.stored(source(node)), np.ones(1), slope, np.zeros(1))


def hard_sigmoid(builder: Builder, node: fx.Node, module: nn.Hardsigmoid) -> Value:
    """``clip(x / 6 + 1/2, 0, 1)``."""
    value = builder.value(source(node))
    if isinstance(value, Pending) and not value.clamped:
        channels = len(value.gain)
        return _clamped(builder, node, value.affine(np.full(channels, 1 / 6), np.full(channels, 0.5)), 0.0, 1.0)
    return _gate(builder, node, builder.stored(source(node)))


def hard_swish(builder: Builder, node: fx.Node, module: nn.Hardswish) -> Value:
    """``x · hardsigmoid(x)``."""
    x = builder.stored(source(node))
    return product(builder, node, x, _gate(builder, node, x))


def affine(builder: Builder, node: fx.Node, module: Affine) -> Value | Lazy:
    """``x · gain + offset``; a positive gain alone is a matter of what the integers stand for."""
    value = builder.raw(source(node))
    if isinstance(value, Arranged) and any(
        torch.as_tensor(part).numel() > 1 for part in (module.gain, module.offset)
    ):
        parts = _along_channels(value, module)
        if parts is not None:
            gain, offset = parts
            return replace(value, x=_ramp(builder, node, value.x, gain, gain, offset))
    value = builder.value(source(node))
    channels = value.shape[0]
    gain, offset = (_per_channel(node, values, value.shape) for values in (module.gain, module.offset))
    if isinstance(value, Pending) and not value.clamped:
        return value.affine(np.broadcast_to(gain, channels), np.broadcast_to(offset, channels))
    x = builder.stored(source(node))
    if len(gain) == 1 and gain[0] > 0 and not offset.any():
        return replace(x, type=replace(x.type, scale=x.type.scale * float(gain[0])))
    return _ramp(builder, node, x, gain, gain, offset)


def batch_norm(builder: Builder, node: fx.Node, module: nn.BatchNorm1d | nn.BatchNorm2d) -> Value:
    """Batch norm with running statistics, folded into the layer before it where there is one."""
    require(module.running_var is not None, str(node.target), "a batch norm needs track_running_stats=True")
    mean, variance = real(module.running_mean), real(module.running_var)
    gain = 1.0 / np.sqrt(variance + module.eps)
    offset = -mean * gain
    if module.affine:
        gain, offset = gain * real(module.weight), offset * real(module.weight) + real(module.bias)
    value = builder.value(source(node))
    if isinstance(value, Pending) and not value.clamped:
        return value.affine(gain, offset)
    return _ramp(builder, node, builder.stored(source(node)), gain, gain, offset)


def table(builder: Builder, node: fx.Node, module: nn.Module) -> Value:
    """Any other function of one value: the module itself says what the table holds."""
    layer, first = str(node.target), source(node)
    out = builder.skewed(builder.seen(node), ())
    x = _spread(builder, first, module, out.scale) if len(first.users) == 1 else builder.stored(first)
    out = replace(out, shape=x.type.shape)
    low, high = x.type.dtype.low, x.type.dtype.high
    inputs: Reals = (np.arange(low, high + 1, dtype=np.float64) - x.type.zero_point) * x.type.scale
    # Where a function is not defined, and calibration saw nothing, the table holds the least value.
    steps = np.nan_to_num(_apply(module, inputs) / out.scale, nan=-np.inf)
    entries = np.clip(np.rint(steps) + out.zero_point, out.dtype.low, out.dtype.high).astype(np.int16)
    name = builder.name(layer)
    builder.add(Lookup(name=name, inputs=(x.name,), out=out, layer=layer, table=entries))
    return Stored(name, out, x.shape, x.flat_from)


def square(builder: Builder, node: fx.Node, module: Square) -> Value:
    """``x · x``."""
    x = builder.stored(source(node))
    return product(builder, node, x, x)


def product(builder: Builder, node: fx.Node, a: Stored, b: Stored) -> Stored:
    """Return ``a · b``; ``b`` may be the same for all places or for all channels."""
    layer, out = str(node.target), builder.skewed(builder.seen(node), a.type.shape)
    reach = 1
    for x in (a, b):
        reach *= max(x.type.dtype.high - x.type.zero_point, x.type.zero_point - x.type.dtype.low)
    gain = np.array([a.type.scale * b.type.scale / out.scale])
    fixed = fix(gain, np.zeros(1), reach, out.dtype, out.zero_point, low=out.dtype.low, high=out.dtype.high)
    name = builder.name(layer)
    builder.add(Mul(name=name, inputs=(a.name, b.name), out=out, layer=layer, rescale=fixed.rescale))
    return Stored(name, out, a.shape, a.flat_from)


def _clamped(builder: Builder, node: fx.Node, value: Value, low: float, high: float) -> Value:
    if isinstance(value, Pending):
        low, high = min(max(value.low, low), high), max(min(value.high, high), low)
        return replace(value, low=low, high=high)
    kind, layer = value.type, str(node.target)
    ends = np.clip(np.rint(np.array([low, high]) / kind.scale) + kind.zero_point, kind.dtype.low, kind.dtype.high)
    least, most = (int(end) for end in ends)
    if least <= kind.dtype.low and most >= kind.dtype.high:
        return value
    rescale = Rescale(np.ones(1, np.int16), 0, 0, kind.zero_point, least, most)
    name = builder.name(layer)
    builder.add(Requantize(name=name, inputs=(value.name,), out=kind, layer=layer, rescale=rescale))
    return replace(value, name=name)


def _gate(builder: Builder, node: fx.Node, x: Stored) -> Stored:
    """Return ``hardsigmoid(x)`` over all 8 bits."""
    sixth = np.full(1, 1 / 6)
    unit = TensorType((), builder.skewed(builder.seen(node), ()).dtype, 1 / 255)
    return _ramp(builder, node, x, sixth, sixth, np.full(1, 0.5), unit)


def _ramp(
    builder: Builder,
    node: fx.Node,
    x: Stored,
    positive: Reals,
    negative: Reals,
    offset: Reals,
    out: TensorType | None = None,
) -> Stored:
    """Return ``x · (positive or negative) + offset``, by the sign of ``x``; all real, one or one per channel."""
    layer = str(node.target)
    require(x.flat_from is None or len(positive) == len(negative) == 1, layer, "put it before the flattening")
    out = replace(out or builder.skewed(builder.seen(node), ()), shape=x.type.shape)
    slopes = [values * (x.type.scale / out.scale) for values in (positive, negative)]
    steepest = max(float(np.abs(values).max()) for values in slopes) or 1.0
    # Offsets reach some hundred steps: 22 bits behind the point leave room for them.
    shift = int(np.clip(14 - np.floor(np.log2(steepest)), 0, 22))
    count = max(len(positive), len(negative), len(offset))
    integers = [np.clip(np.rint(values * 2.0**shift), -32767, 32767).astype(np.int16) for values in slopes]
    most = 2.0**30 - 255 * 32767
    offsets = np.clip(np.rint(offset / out.scale * 2.0**shift), -most, most).astype(np.int32)
    name = builder.name(layer)
    builder.add(
        Ramp(
            name=name,
            inputs=(x.name,),
            out=out,
            layer=layer,
            positive=np.broadcast_to(integers[0], count).copy(),
            negative=np.broadcast_to(integers[1], count).copy(),
            offset=np.broadcast_to(offsets, count).copy(),
            rescale=Rescale(np.ones(1, np.int16), 0, shift, out.zero_point, lowest(out.dtype), out.dtype.high),
        )
    )
    return Stored(name, out, x.shape, x.flat_from)


def _spread(builder: Builder, first: fx.Node, module: nn.Module, step: float) -> Stored:
    """Return the input of a curve, its 8 bits spread over the part where the result still changes."""
    value = builder.value(first)
    if not isinstance(value, Pending):
        return value
    seen = builder.seen(first)
    grid = np.linspace(seen.low, seen.high, 1001)
    whole = _apply(module, grid)
    reach = seen.magnitude
    for part in _NARROWER:
        cut = np.clip(grid, -seen.magnitude * part, seen.magnitude * part)
        if not np.abs(_apply(module, cut) - whole).max() <= step / 4:  # or no number at all
            break
        reach = seen.magnitude * part
    kind = builder.activation(replace(seen, low=max(seen.low, -reach), high=min(seen.high, reach)), ())
    return builder.cast(str(first.target), value, kind)


@torch.no_grad()
def _apply(module: nn.Module, values: Reals) -> Reals:
    result: Reals = module(torch.from_numpy(values)).numpy()
    return result


def _along_channels(value: Arranged, module: Affine) -> tuple[Reals, Reals] | None:
    """Return constants by channel where the channels have become another axis, as behind ``permute(0, 2, 3, 1)``."""
    order = torch_order(value.x).reshape(len(torch_order(value.x)), -1)
    channel = np.empty(order.size, np.int64)
    channel[order] = np.arange(len(order))[:, None]
    channel, parts = channel[value.index], list[Reals]()
    for constant in (module.gain, module.offset):
        wanted = np.broadcast_to(real(torch.as_tensor(constant)), (1, *channel.shape))[0]
        part = np.zeros(len(order))
        part[channel] = wanted
        if not np.array_equal(part[channel], wanted):
            return None
        parts.append(part)
    return parts[0], parts[1]


def _per_channel(node: fx.Node, values: torch.Tensor | float, shape: tuple[int, ...]) -> Reals:
    """Return one value, or one per channel."""
    array = real(torch.as_tensor(values))
    per_channel = array.shape in ((shape[0], *[1] * (len(shape) - 1)), (1, shape[0], *[1] * (len(shape) - 1)))
    what = f"a constant of shape {array.shape}; one number, or one per channel, is covered"
    require(array.size == 1 or per_channel, str(node.target), what)
    return array.reshape(-1)
