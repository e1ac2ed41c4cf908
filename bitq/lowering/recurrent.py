"""How recurrent layers become operations, and what reads their output step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
from torch import Tensor, fx, nn

from bitq.ir.cells import CELL_FRACTIONS, CELLS, FRACTIONS, LONG, ONE
from bitq.ir.ops import Flatten, Recurrent, View
from bitq.ir.types import TensorType, Weights
from bitq.lowering.builder import Builder, Lazy, Pending, Stored, Value
from bitq.lowering.parts import Part, fix_parts, narrow_of
from bitq.lowering.recurrence import Recurrence, Where
from bitq.lowering.sequences import Turn
from bitq.lowering.shapes import rearrange
from bitq.quant.matrix import QuantizedWeight

_MARGIN = 1.25  # room above the largest number that calibration saw
_CELLS = {"RNN_TANH": "rnn", "RNN_RELU": "relu", "GRU": "gru", "LSTM": "lstm"}


def recurrence(builder: Builder, node: fx.Node, module: Recurrence) -> Stored:
    """A layer of an RNN, GRU or LSTM in one direction."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    where, x = module.where, builder.stored(source)
    if where.pick is not None and (whole := _whole(builder, where, x)) is not None:
        return _step(builder, where, whole)
    time, cell = x.type.shape[1], _CELLS[module.mode]
    kind, units = CELLS[cell].out, module.units
    fractional = cell != "relu"
    one = LONG if cell == "gru" else ONE
    shift = _bits(module.out_reach * 2.0**one / kind.high, CELLS[cell].shifts)
    scale = 2.0 ** (shift - one) if fractional else _MARGIN * (module.out_reach or 1.0) / kind.high
    step = TensorType((units,), kind, scale)
    pick = None if where.pick is None else where.pick % time
    name = builder.name(f"{where.path}{where.suffix}")
    parts = [
        _part(f"{name}.{which}", builder.codes(f"{where.path}.{which}{where.suffix}"), bias, reads)
        for which, bias, reads in zip(("weight_ih", "weight_hh"), module.biases, (x.type, step), strict=True)
    ]
    unit = 1.0 if fractional else scale
    fraction, (first, second) = fix_parts(parts, unit, FRACTIONS)
    shift = shift if fractional else fraction
    shape = (units, time) if pick is None else (units,)
    out = TensorType((1, time, units) if pick is None else shape, kind, step.scale)
    builder.add(
        Recurrent(
            name=name,
            inputs=(x.name,),
            out=out,
            layer=where.path,
            cell=cell,
            input=first,
            state=second,
            fraction=fraction,
            cell_fraction=_fraction(module.cell_reach, CELL_FRACTIONS),
            narrow=narrow_of(second, step) if cell == "gru" else 0,
            shift=shift,
            reverse=where.reverse,
            pick=pick,
        )
    )
    return Stored(name, out, shape)


def _whole(builder: Builder, where: Where, x: Stored) -> Recurrent | None:
    """Return the same layer with all its steps, where the graph has it already."""
    codes = builder.codes(f"{where.path}.weight_hh{where.suffix}").codes
    same = (
        op
        for op in builder.ops
        if isinstance(op, Recurrent) and op.inputs == (x.name,) and op.state.weights.codes is codes
    )
    return next((op for op in same if op.pick is None), None)


def _step(builder: Builder, where: Where, whole: Recurrent) -> Stored:
    """Return one step of a layer that the graph has with all its steps."""
    assert where.pick is not None
    offset = where.pick % whole.out.shape[1] * whole.units
    name = builder.name(f"{whole.name}_step")
    out = replace(whole.out, shape=(whole.units,))
    builder.add(View(name=name, inputs=(whole.name,), out=out, layer=where.path, offset=offset, strides=(1,)))
    return Stored(name, out, out.shape)


def turned(builder: Builder, node: fx.Node, module: Turn) -> Value | Lazy:
    """A dense layer at each step of a sequence, the sequence as a vector, step by step, or the input itself."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    layer, inner = module.path, module.inner
    if isinstance(inner, nn.Identity):
        return rearrange(builder, node, module)
    x, shape = builder.stored(source), builder.seen(node).shape
    if isinstance(inner, nn.Linear):
        weight = builder.weight(node, layer)
        gain = np.broadcast_to(weight.scale * x.type.scale, (inner.out_features,))
        bias = cast("Tensor | None", inner.bias)
        offset = np.zeros(inner.out_features) if bias is None else bias.detach().double().numpy()
        out_shape = (1, shape[1], shape[0])
        return Pending(layer, x, weight.codes[:, None, None, :], weight, gain, offset, out_shape, shape, (1, 1))
    if shape != (x.type.size,):
        return rearrange(builder, node, module)
    name = builder.name(layer)
    out = replace(x.type, shape=shape)
    builder.add(Flatten(name=name, inputs=(x.name,), out=out, layer=layer))
    return Stored(name, out, shape)


RECURRENT: dict[type[nn.Module], Callable[[Builder, fx.Node, Any], Value | Lazy]] = {
    Recurrence: recurrence,
    Turn: turned,
}
"""Rows for the table of all modules."""


def _part(name: str, weight: QuantizedWeight, bias: Tensor, reads: TensorType) -> Part:
    weights = Weights(weight.codes, weight.book.dtype, weight.scale)
    return Part(name, weights, np.atleast_1d(weight.scale * reads.scale), bias.double().numpy(), reads)


def _bits(size: float, limits: tuple[int, int]) -> int:
    """Return the bits that hold a size, within limits."""
    return min(max(math.ceil(math.log2(size or 1.0)), limits[0]), limits[1])


def _fraction(reach: float, limits: tuple[int, int]) -> int:
    """Return the bits behind the point that leave room for a number in 16 bits, within limits."""
    return 15 - _bits(_MARGIN * reach, (15 - limits[1], 15 - limits[0]))
