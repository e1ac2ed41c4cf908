"""Whole graphs, drawn operation by operation from one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import (
    Add,
    ArgMax,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Flatten,
    Lookup,
    MaxPool,
    Mul,
    Op,
    Pad,
    Ramp,
    Recurrent,
    Requantize,
    Reshape,
    View,
)
from bitq.ir.ranges import prove
from bitq.ir.types import INT8, INT32, TensorType
from tests.graphs import layers, moves, pointwise
from tests.graphs.parts import Draw, Rng, wide, with_rescale
from tests.graphs.recurrent import recurrent
from tests.graphs.trees import grown


def _image(x: TensorType) -> bool:
    return len(x.shape) == 3


def _sequence(x: TensorType) -> bool:
    return _image(x) and x.shape[0] == 1


def _any(x: TensorType) -> bool:
    return True


class Generator(NamedTuple):
    """Draws an operation, with those it needs before it.

    Attributes:
        make: of a draw, random numbers, the operation's name, and the name and the type of an 8-bit value.
        fits: whether it can read a value of a type.
    """

    make: Callable[[Draw, Rng, str, str, TensorType], list[Op]]
    fits: Callable[[TensorType], bool] = _any


GENERATORS: dict[type[Op], Generator] = {
    Add: Generator(layers.add),
    AvgPool: Generator(layers.avg_pool, _image),
    Concat: Generator(layers.concat),
    Conv: Generator(layers.conv, _image),
    Dense: Generator(layers.dense),
    Flatten: Generator(layers.flatten),
    Lookup: Generator(pointwise.lookup),
    MaxPool: Generator(layers.max_pool, _image),
    Mul: Generator(pointwise.mul),
    Pad: Generator(moves.pad, _image),
    Ramp: Generator(pointwise.ramp),
    Recurrent: Generator(recurrent, _sequence),
    Requantize: Generator(layers.requantize),
    Reshape: Generator(moves.reshape),
    View: Generator(moves.view),
}
"""One row per operation that stands within a graph; a Forest with its Features, a SquaredError or an ArgMax ends
one."""


@st.composite
def graphs(draw: Draw, name: str = "net") -> Graph:
    """Draw a graph over all operations, codebooks and number formats, with one or two outputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(
        st.one_of(
            st.tuples(st.integers(1, 40)),
            st.tuples(st.just(1), st.integers(1, 20), st.integers(1, 5)),
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)),
        )
    )
    source, x = "input", TensorType(shape, INT8, 0.1, draw(st.sampled_from([0, 0, -128, 127, 5, -77])))
    first = x
    ops: list[Op] = []
    for number in range(draw(st.integers(0, 4))):
        fitting = [kind for kind, generator in GENERATORS.items() if generator.fits(x)]
        # Convolutions have the most to go wrong.
        kind = draw(st.sampled_from([*fitting, *[Conv, Conv] * _image(x)]))
        ops += GENERATORS[kind].make(draw, rng, f"{kind.__name__.lower()}.{number}", source, x)
        source, x = ops[-1].name, ops[-1].out
    outputs: list[str] = []
    for head in range(draw(st.integers(1, 2))):
        kind = draw(st.integers(0, 8))
        if kind == 0:
            last = layers.to(rng, f"scores{head}", source, x, wide(rng))
        elif kind == 1:
            *before, last = layers.squared_error(draw, rng, f"scores{head}", source, x)
            ops += before
        elif kind in (2, 3):
            *before, last = grown(draw, rng, f"scores{head}", source, x)
            ops += before
        else:
            last = layers.linear(draw, rng, f"scores{head}", source, x, conv=_image(x) and draw(st.booleans()))
            if draw(st.booleans()):
                last = with_rescale(last, rng, x, wide(rng))
        ops.append(last)
        outputs.append(last.name)
    winner = None
    if draw(st.booleans()):
        winner = "winner"
        over = draw(st.sampled_from([outputs[0], source]))
        ops.append(ArgMax(name=winner, inputs=(over,), out=TensorType((1,), INT32, 1.0)))
        if draw(st.integers(0, 3)) == 0:
            outputs.append(winner)
        elif draw(st.integers(0, 3)) == 0:
            outputs = outputs[1:] or outputs
    graph = Graph(name, first, tuple(ops), tuple(outputs), winner)
    prove(check(graph))
    return graph


def corner_inputs(graph: Graph, rows: int = 16) -> NDArray[np.int8]:
    """Return inputs int8 ``(n, size)``: all least, all most, all zero, zero point, alternating, one-hot, random."""
    size = graph.input.size
    level = [-128, 127, 0, graph.input.zero_point, -1]
    flat = np.repeat(np.array(level), size).reshape(len(level), size)
    alternating = np.where(np.arange(size) % 2 == 0, -128, 127)
    one_hot = np.full(size, graph.input.zero_point)
    one_hot[size // 2] = 127
    random = np.random.default_rng(1).integers(-128, 128, (rows, size))
    return np.concatenate([flat, alternating[None], -1 - alternating[None], one_hot[None], random]).astype(np.int8)
