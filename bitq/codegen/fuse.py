"""Operations that are computed together although the graph keeps them apart."""

from __future__ import annotations

from dataclasses import replace

from bitq.codegen.choice import printer_of
from bitq.codegen.ops import direct, pairs
from bitq.codegen.ops.pooled import PooledConv
from bitq.ir.graph import Graph
from bitq.ir.ops import NO_PADDING, Conv, MaxPool, Op, Pair, Requantize


def fuse(graph: Graph, optimize: str) -> Graph:
    """Return a graph with fewer steps between layers.

    Convolutions with straight-line code take the pool behind them along, or leave their padding to the change of
    scale before them.
    """
    types = graph.types()
    fused: dict[str, Op | None] = {}
    for op in graph.ops:
        after = _reader(graph, op)
        if after is None:
            continue
        if type(op) is Conv and isinstance(after, MaxPool):
            is_printed = printer_of(op, [types[name] for name in op.inputs], optimize) is pairs.CONV
            if is_printed and after.kernel == after.stride == (1, 2) and after.padding == NO_PADDING:
                fused |= {op.name: _pooled(op, after), after.name: None}
        if isinstance(op, Requantize) and type(after) is Conv and after.padding != NO_PADDING:
            bare = replace(after, padding=NO_PADDING)
            is_direct = printer_of(bare, [op.out], optimize) is direct.CONV
            if is_direct and direct.takes_border(op, types[op.inputs[0]]):
                fused |= {op.name: _bordered(op, after.padding), after.name: bare}
    ops = [fused.get(op.name, op) for op in graph.ops]
    return replace(graph, ops=tuple(op for op in ops if op is not None))


def _reader(graph: Graph, op: Op) -> Op | None:
    """Return the operation that alone reads the result of one."""
    readers = [other for other in graph.ops if op.name in other.inputs]
    return readers[0] if len(readers) == 1 and op.name not in graph.outputs else None


def _bordered(op: Requantize, border: tuple[Pair, Pair]) -> direct.BorderedRequantize:
    height, width, channels = op.out.shape
    shape = (height + sum(border[0]), width + sum(border[1]), channels)
    return direct.BorderedRequantize(
        name=op.name,
        inputs=op.inputs,
        out=replace(op.out, shape=shape),
        layer=op.layer,
        rescale=op.rescale,
        border=border,
    )


def _pooled(op: Conv, pool: MaxPool) -> PooledConv:
    return PooledConv(
        name=pool.name,
        inputs=op.inputs,
        out=pool.out,
        layer=op.layer,
        weights=op.weights,
        bias=op.bias,
        rescale=op.rescale,
        stride=op.stride,
        padding=op.padding,
        groups=op.groups,
        dilation=op.dilation,
    )
