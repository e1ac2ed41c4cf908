"""The reference networks of the study, with random weights from a named generator, as integer graphs.

Their cost does not depend on what they have learned. Scales come from the spread of each layer's accumulators over
random inputs, through the fixed-point arithmetic that trained networks get.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.ir.cells import FRACTIONS
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, AvgPool, Conv, Dense, Flatten, MaxPool, Op, Recurrent, Requantize
from bitq.ir.ranges import prove
from bitq.ir.reference import values
from bitq.ir.types import INT8, INT32, UINT7, UINT8, DType, TensorType, Weights
from bitq.lowering.fixed import fix, halved
from bitq.lowering.parts import Part, fix_parts, narrow_of
from pipelines.mcu.forest import n5

GENERATOR = "PCG64"
SEED = 5
_ROWS = 64
_SPREAD = 4.0  # standard deviations of an accumulator that the range of the activations holds


class _Chain:
    """A graph that grows by one layer at a time behind its last value."""

    def __init__(self, name: str, shape: tuple[int, ...], weights: DType, activations: DType, seed: int) -> None:
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.activations = activations
        self.graph = Graph(name, TensorType(shape, INT8, 1 / 128), (), ())
        self.weights = weights
        self.rows = self.rng.integers(-128, 128, (_ROWS, *shape))
        if activations is UINT7:
            out, rescale = halved(self.graph.input)
            self.add(Requantize(name="halved", inputs=(self.graph.input_name,), out=out, rescale=rescale))

    @property
    def last(self) -> tuple[str, TensorType]:
        """Name and type of the last value."""
        return list(self.graph.types().items())[-1]

    def add(self, op: Op) -> None:
        """Append an operation, its shape inferred."""
        out = replace(op.out, shape=op.infer_shape(self.last[1]))
        self.graph = replace(self.graph, ops=(*self.graph.ops, replace(op, out=out)))

    def _codes(self, shape: tuple[int, ...]) -> Weights:
        book = self.weights
        drawn = self.rng.integers(0, (book.high - book.low) // book.step + 1, shape) * book.step + book.low
        return Weights(drawn.astype(np.int8), book, np.ones(1))

    def _rescaled(self, op: Conv | Dense) -> Conv | Dense:
        x = self.last[1]
        shape = op.infer_shape(x)
        op = replace(op, out=TensorType(shape, INT32, 1.0))
        before = replace(self.graph, ops=(*self.graph.ops, op))
        spread = float(values(before, self.rows)[op.name].std())
        gain = np.array([self.activations.high / _SPREAD / spread])
        fixed = fix(
            gain,
            np.zeros(shape[-1]),
            op.accumulators(x)[0].magnitude,
            self.activations,
            0,
            low=0,
            high=self.activations.high,
        )
        bias = fixed.bias + np.rint(self.rng.normal(0, spread / 8, shape[-1])).astype(np.int32)
        return replace(op, bias=bias, out=TensorType(shape, self.activations, 1 / 64), rescale=fixed.rescale)

    def dense(self, name: str, outputs: int, *, scores: bool = False) -> None:
        """Append a dense layer with ReLU, or the last one, whose accumulators are the scores."""
        source, x = self.last
        if len(x.shape) == 3:
            self.add(Flatten(name=f"{name}_in", inputs=(source,), out=x))
            source, x = self.last
        linear = Dense(
            name=name,
            inputs=(source,),
            out=TensorType((outputs,), INT32, 1.0),
            weights=self._codes((outputs, x.size)),
            bias=np.zeros(outputs, np.int32),
        )
        if scores:
            self.add(replace(linear, bias=self.rng.integers(-2000, 2000, outputs).astype(np.int32)))
        else:
            self.add(self._rescaled(linear))

    def conv(self, name: str, outputs: int, kernel: tuple[int, int], stride: int = 1) -> None:
        """Append a convolution with ReLU that keeps the size up to its stride."""
        source, x = self.last
        steps = (stride if kernel[0] > 1 else 1, stride)
        pads = [max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in zip(x.shape, steps, kernel, strict=False)]
        linear = Conv(
            name=name,
            inputs=(source,),
            out=TensorType((outputs,), INT32, 1.0),
            weights=self._codes((outputs, *kernel, x.shape[2])),
            bias=np.zeros(outputs, np.int32),
            stride=steps,
            padding=((pads[0] // 2, pads[0] - pads[0] // 2), (pads[1] // 2, pads[1] - pads[1] // 2)),
        )
        self.add(self._rescaled(linear))

    def gru(self, name: str, units: int) -> None:
        """Append a GRU that keeps the output of its last step."""
        source, x = self.last
        step = TensorType((x.shape[2],), x.dtype, x.scale)
        before = TensorType((units,), INT8, 1 / 128)
        gates = [self._gates(f"{name}_input", 3 * units, step), self._gates(f"{name}_state", 3 * units, before)]
        fraction, (first, state) = fix_parts(gates, 1.0, FRACTIONS)
        op = Recurrent(
            name=name,
            inputs=(source,),
            out=before,
            cell="gru",
            input=first,
            state=state,
            fraction=fraction,
            narrow=narrow_of(state, before),
            pick=x.shape[1] - 1,
        )
        self.add(op)

    def _gates(self, name: str, rows: int, x: TensorType) -> Part:
        """Return a matrix whose parts spread by 1 for inputs drawn from their whole range."""
        weights = self._codes((rows, x.size))
        drawn = self.rng.integers(x.dtype.low, x.dtype.high + 1, (_ROWS, x.size))
        gain = np.array([1 / float((drawn @ weights.matrix.T).std())])
        return Part(name, weights, gain, self.rng.normal(0, 0.5, rows), x)

    def max_pool(self, name: str, kernel: tuple[int, int]) -> None:
        """Append a max pool without overlap."""
        source, x = self.last
        self.add(MaxPool(name=name, inputs=(source,), out=x, kernel=kernel, stride=kernel))

    def average(self, name: str) -> None:
        """Append the average over all places."""
        source, x = self.last
        kernel = (x.shape[0], x.shape[1])
        reach = kernel[0] * kernel[1] * x.dtype.high
        gain = np.array([1 / (kernel[0] * kernel[1])])
        rescale = fix(gain, np.zeros(1), reach, x.dtype, 0, low=0, high=x.dtype.high).rescale
        self.add(AvgPool(name=name, inputs=(source,), out=x, kernel=kernel, stride=kernel, rescale=rescale))

    def finish(self) -> Graph:
        """Return the checked graph whose last value is the scores."""
        source, _ = self.last
        self.add(ArgMax(name="winner", inputs=(source,), out=TensorType((1,), INT32, 1.0)))
        graph = replace(self.graph, outputs=(source,), winner="winner")
        prove(check(graph))
        return graph


def n1(weights: DType, activations: DType = UINT8, seed: int = SEED) -> Graph:
    """Return the perceptron 784-64-10: 50,816 products."""
    chain = _Chain("n1", (784,), weights, activations, seed)
    chain.dense("hidden", 64)
    chain.dense("head", 10, scores=True)
    return chain.finish()


def n2(weights: DType, activations: DType = UINT8, seed: int = SEED) -> Graph:
    """Return the network for images of 28 × 28: two convolutions 3 × 3 of stride 2, dense; 78,400 products."""
    chain = _Chain("n2", (28, 28, 1), weights, activations, seed)
    chain.conv("conv1", 8, (3, 3), stride=2)
    chain.conv("conv2", 16, (3, 3), stride=2)
    chain.dense("head", 10, scores=True)
    return chain.finish()


def n3(weights: DType, activations: DType = UINT8, seed: int = SEED) -> Graph:
    """Return the network for windows of 50 × 3: two convolutions of width 5, pools, dense; 22,032 products."""
    chain = _Chain("n3", (1, 50, 3), weights, activations, seed)
    chain.conv("conv1", 8, (1, 5))
    chain.max_pool("pool", (1, 2))
    chain.conv("conv2", 16, (1, 5))
    chain.average("mean")
    chain.dense("head", 2, scores=True)
    return chain.finish()


def n4(weights: DType, activations: DType = UINT8, seed: int = SEED) -> Graph:
    """Return the network for windows of 50 × 6: a GRU of 16 units, dense on its last step; 52,832 products."""
    chain = _Chain("n4", (1, 50, 6), weights, activations, seed)
    chain.gru("gru", 16)
    chain.dense("head", 2, scores=True)
    return chain.finish()


NETWORKS = {"N1": n1, "N2": n2, "N3": n3, "N4": n4, "N5": n5}
"""Each network as a function of its codebook and the type of its activations; N5, a forest, has neither."""


def inputs_of(graph: Graph, random: int, seed: int = SEED) -> NDArray[np.integer[Any]]:
    """Return inputs of the network's type, ``(n, size)``: the extremes first, then random ones.

    The extremes: all least, all most, all 0, all zero point, alternating both ways, and at every place in turn the
    largest value among zero points.
    """
    size, zero, dtype = graph.input.size, graph.input.zero_point, graph.input.dtype
    flat = np.repeat(np.array([dtype.low, dtype.high, 0, zero]), size).reshape(4, size)
    alternating = np.where(np.arange(size) % 2 == 0, dtype.low, dtype.high)[None]
    one_hot = np.full((size, size), zero)
    np.fill_diagonal(one_hot, dtype.high)
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(dtype.low, dtype.high + 1, (random, size))
    return np.concatenate([flat, alternating, -1 - alternating, one_hot, drawn]).astype(dtype.array)
