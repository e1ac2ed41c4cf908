"""Operations that are computed together although the graph keeps them apart."""

from __future__ import annotations

from dataclasses import replace

from bitq.codegen.choice import printer_of
from bitq.codegen.ops import pairs
from bitq.codegen.ops.pooled import PooledConv
from bitq.ir.graph import Graph
from bitq.ir.ops import NO_PADDING, Conv, MaxPool, Op


def fuse(graph: Graph, optimize: str) -> Graph:
    """Return a graph in which convolutions with straight-line code take the pool behind them along."""
    types = graph.types()
    readers: dict[str, list[Op]] = {}
    for op in graph.ops:
        for name in op.inputs:
            readers.setdefault(name, []).append(op)
    pooled: dict[str, MaxPool] = {}
    for op in graph.ops:
        after = readers.get(op.name, [])
        if (
            type(op) is Conv
            and printer_of(op, [types[name] for name in op.inputs], optimize) is pairs.CONV
            and len(after) == 1
            and op.name not in graph.outputs
        ):
            pool = after[0]
            if isinstance(pool, MaxPool) and pool.kernel == pool.stride == (1, 2) and pool.padding == NO_PADDING:
                pooled[op.name] = pool
    ops: list[Op] = []
    for op in graph.ops:
        if op.name in pooled and isinstance(op, Conv):
            ops.append(_pooled(op, pooled[op.name]))
        elif op not in pooled.values():
            ops.append(op)
    return replace(graph, ops=tuple(ops))


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
