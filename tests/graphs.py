"""Random valid integer graphs for property tests, and the inputs that break arithmetic first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitq.ir.check import check, infer_shape
from bitq.ir.graph import Graph
from bitq.ir.ops import Add, ArgMax, AvgPool, Concat, Conv, Dense, Flatten, MaxPool, Op, Requantize
from bitq.ir.ranges import accumulator, prove
from bitq.ir.types import INT8, INT32, INT32_MAX, UINT8, WEIGHT_DTYPES, DType, Rescale, TensorType, Weights

Draw = st.DrawFn
Rng = np.random.Generator


def weights(rng: Rng, shape: tuple[int, ...], dtype: DType) -> Weights:
    """Return random codes of a codebook; one in eight tensors holds its extreme code alone."""
    codes = rng.integers(0, (dtype.high - dtype.low) // dtype.step + 1, shape) * dtype.step + dtype.low
    if rng.random() < 0.125:
        codes = np.full(shape, rng.choice([dtype.low, dtype.high]))
    return Weights(codes.astype(np.int8), dtype, np.ones(1))


def bias(rng: Rng, channels: int) -> NDArray[np.int32]:
    """Return biases of 16 bits, of 16 bits and a shift, or of many bits."""
    kind = rng.integers(0, 3)
    if kind == 0:
        return rng.integers(-300, 300, channels).astype(np.int32)
    if kind == 1:
        return (rng.integers(-(2**15), 2**15, channels) << 5).astype(np.int32)
    return rng.integers(-(10**6), 10**6, channels).astype(np.int32)


def rescale(rng: Rng, op: Op, x: TensorType, out: TensorType) -> Rescale:
    """Return a random rescale of an operation that the range proof accepts; an addition reads ``x`` twice."""
    acc = accumulator(op, *[x] * len(op.inputs))
    pre_shift = int(rng.integers(0, 6))
    reach = max(1, (acc.magnitude >> pre_shift) + 1)
    shift = int(rng.integers(0, 30))
    room = INT32_MAX - (1 << shift >> 1)
    while reach > room:
        shift -= 1
        room = INT32_MAX - (1 << shift >> 1)
    most = max(1, min(32767, room // reach))
    # A gain that spreads the accumulator over the 8-bit output, so that most values are not clipped.
    wanted = int(np.clip(300 * 2**shift // reach, 1, most))
    channels = out.shape[-1] if rng.random() < 0.5 else 1
    multiplier = rng.integers(max(1, wanted // 4), wanted + 1, channels).astype(np.int16)
    low, high = sorted(int(v) for v in rng.integers(max(out.dtype.low, -500), min(out.dtype.high, 500) + 1, 2))
    if rng.random() < 0.5:
        low, high = out.dtype.low, out.dtype.high
    return Rescale(multiplier, pre_shift, shift, out.zero_point, low, high)


def small(draw: Draw, rng: Rng, shape: tuple[int, ...] = ()) -> TensorType:
    """Return an 8-bit type; mostly UINT8 with zero point 0, which lowering makes."""
    dtype = draw(st.sampled_from([UINT8, UINT8, INT8]))
    zero = 0 if draw(st.booleans()) else int(rng.integers(dtype.low, dtype.high + 1))
    return TensorType(shape, dtype, 0.5, zero)


def with_rescale(op: Op, rng: Rng, x: TensorType, out: TensorType) -> Op:
    """Return an operation that rescales to ``out``."""
    out = replace(out, shape=op.out.shape)
    return replace(op, out=out, rescale=rescale(rng, op, x, out))  # pyright: ignore[reportCallIssue]


@st.composite
def linear(draw: Draw, rng: Rng, name: str, source: str, x: TensorType, *, conv: bool) -> Op:
    """Draw a convolution or dense layer without rescale, layer type and geometry at random."""
    dtype = draw(st.sampled_from(list(WEIGHT_DTYPES.values())))
    channels = draw(st.integers(1, 9))
    out = TensorType((channels,), INT32, 1.0)
    if not conv:
        return Dense(
            name=name,
            inputs=(source,),
            out=out,
            weights=weights(rng, (channels, x.size), dtype),
            bias=bias(rng, channels),
        )
    height, width, depth = x.shape
    pads = [draw(st.integers(0, 2)) for _ in range(4)] if draw(st.booleans()) else [0, 0, 0, 0]
    if height == 1:
        pads[:2] = [0, 0]
    kernel = (
        draw(st.integers(1, min(5, height + pads[0] + pads[1]))),
        draw(st.integers(1, min(5, width + pads[2] + pads[3]))),
    )
    groups = draw(st.sampled_from([1, 1, *(g for g in range(2, depth + 1) if depth % g == 0)]))
    channels = groups * draw(st.integers(1, 3)) if groups > 1 else channels
    dilation = (1, 1)
    if draw(st.integers(0, 2)) == 0:
        room = (height + pads[0] + pads[1] - 1, width + pads[2] + pads[3] - 1)
        dilation = (min(3, room[0] // max(1, kernel[0] - 1)) or 1, min(2, room[1] // max(1, kernel[1] - 1)) or 1)
    op = Conv(
        name=name,
        inputs=(source,),
        out=out,
        weights=weights(rng, (channels, *kernel, depth // groups), dtype),
        bias=bias(rng, channels),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=((pads[0], pads[1]), (pads[2], pads[3])),
        groups=groups,
        dilation=dilation,
    )
    return replace(op, out=replace(out, shape=infer_shape(op, x)))


@st.composite
def pool(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> Op:
    """Draw a maximum or average pool."""
    kernel = (draw(st.integers(1, min(3, x.shape[0]))), draw(st.integers(1, min(4, x.shape[1]))))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    if draw(st.booleans()):
        pad = draw(st.sampled_from([((0, 0), (0, 0)), ((0, 1), (1, 0)), ((1, 1), (2, 2))]))
        op = MaxPool(name=name, inputs=(source,), out=x, kernel=kernel, stride=stride, padding=pad)
        return replace(op, out=replace(x, shape=infer_shape(op, x)))
    wide = TensorType((), INT32, 1.0)
    identity = Rescale(np.ones(1, np.int16), 0, 0, 0, INT32.low, INT32.high)
    op = AvgPool(name=name, inputs=(source,), out=wide, kernel=kernel, stride=stride, rescale=identity)
    op = replace(op, out=replace(wide, shape=infer_shape(op, x)))
    return with_rescale(op, rng, x, small(draw, rng))


def requantize(rng: Rng, name: str, source: str, x: TensorType, out: TensorType) -> Op:
    """Return a change of scale to an 8-bit or INT32 type."""
    identity = Rescale(np.ones(1, np.int16), 0, 0, 0, INT32.low, INT32.high)
    op = Requantize(name=name, inputs=(source,), out=TensorType(x.shape, INT32, 1.0), rescale=identity)
    return with_rescale(op, rng, x, out)


def branch(rng: Rng, name: str, source: str, x: TensorType, out: TensorType, *, add: bool) -> list[Op]:
    """Return a second value made from ``x``, and its sum with ``x`` or both side by side."""
    other = requantize(rng, f"{name}.other", source, x, replace(x, zero_point=x.zero_point))
    both = (source, other.name) if rng.random() < 0.5 else (other.name, source)
    if not add:
        shape = (*x.shape[:-1], 2 * x.shape[-1])
        return [other, Concat(name=name, inputs=both, out=replace(x, shape=shape))]
    identity = Rescale(np.ones(1, np.int16), 0, 0, 0, INT32.low, INT32.high)
    pair = (int(rng.integers(1, 32768)), int(rng.integers(1, 32768)))
    wide = TensorType(x.shape, INT32, 1.0)
    total = Add(name=name, inputs=both, out=wide, multipliers=pair, rescale=identity)
    out = replace(out, shape=x.shape)
    scale = rescale(rng, total, x, out)
    return [other, replace(total, out=out, rescale=replace(scale, multiplier=scale.multiplier[:1]))]


def _wide(rng: Rng) -> TensorType:
    return TensorType((), INT32, 1.0, int(rng.integers(-40, 40)))


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

    def add(op: Op) -> None:
        nonlocal source, x
        ops.append(op)
        source, x = op.name, op.out

    for number in range(draw(st.integers(0, 4))):
        kinds = ["linear", "requantize", "flatten", "add", "concat"] + ["conv", "conv", "pool", "pool"] * (
            len(x.shape) == 3
        )
        kind = draw(st.sampled_from(kinds))
        label = f"{kind}.{number}"
        if kind in ("linear", "conv"):
            op = draw(linear(rng, label, source, x, conv=kind == "conv"))
            add(with_rescale(op, rng, x, small(draw, rng)))
        elif kind == "pool":
            add(draw(pool(rng, label, source, x)))
        elif kind == "requantize":
            add(requantize(rng, label, source, x, small(draw, rng)))
        elif kind in ("add", "concat"):
            for op in branch(rng, label, source, x, small(draw, rng), add=kind == "add"):
                add(op)
        else:
            add(Flatten(name=label, inputs=(source,), out=replace(x, shape=(x.size,))))
    outputs: list[str] = []
    for head in range(draw(st.integers(1, 2))):
        if draw(st.integers(0, 4)) == 0:
            last = requantize(rng, f"scores{head}", source, x, _wide(rng))
        else:
            last = draw(linear(rng, f"scores{head}", source, x, conv=len(x.shape) == 3 and draw(st.booleans())))
            if draw(st.booleans()):
                last = with_rescale(last, rng, x, _wide(rng))
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
