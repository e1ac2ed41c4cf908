"""A random operation of each kind, valid for the value that it reads."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from bitq.ir.ops import Add, AvgPool, Concat, Conv, Dense, Flatten, MaxPool, Op, Requantize, SquaredError
from bitq.ir.types import INT32, WEIGHT_DTYPES, TensorType
from tests.graphs.parts import IDENTITY, Draw, Rng, bias, rescale, small, weights, with_rescale


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
    return replace(op, out=replace(out, shape=op.infer_shape(x)))


def dense(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a dense layer."""
    return [with_rescale(linear(draw, rng, name, source, x, conv=False), rng, x, small(draw, rng))]


def conv(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a convolution."""
    return [with_rescale(linear(draw, rng, name, source, x, conv=True), rng, x, small(draw, rng))]


def max_pool(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a max pool."""
    kernel, stride = _window(draw, x)
    pad = draw(st.sampled_from([((0, 0), (0, 0)), ((0, 1), (1, 0)), ((1, 1), (2, 2))]))
    op = MaxPool(name=name, inputs=(source,), out=x, kernel=kernel, stride=stride, padding=pad)
    return [replace(op, out=replace(x, shape=op.infer_shape(x)))]


def avg_pool(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw an average pool."""
    kernel, stride = _window(draw, x)
    out = TensorType((), INT32, 1.0)
    op = AvgPool(name=name, inputs=(source,), out=out, kernel=kernel, stride=stride, rescale=IDENTITY)
    op = replace(op, out=replace(out, shape=op.infer_shape(x)))
    return [with_rescale(op, rng, x, small(draw, rng))]


def requantize(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a change of scale."""
    return [to(rng, name, source, x, small(draw, rng))]


def to(rng: Rng, name: str, source: str, x: TensorType, out: TensorType) -> Op:
    """Return a change of scale to an 8-bit or INT32 type."""
    op = Requantize(name=name, inputs=(source,), out=TensorType(x.shape, INT32, 1.0), rescale=IDENTITY)
    return with_rescale(op, rng, x, out)


def add(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a sum of a value and one that is made from it."""
    other, both = branch(rng, name, source, x)
    pair = (int(rng.choice([-1, 1]) * rng.integers(1, 32768)), int(rng.choice([-1, 1]) * rng.integers(1, 32768)))
    out = TensorType(x.shape, INT32, 1.0)
    total = Add(name=name, inputs=both, out=out, multipliers=pair, rescale=IDENTITY)
    out = replace(small(draw, rng), shape=x.shape)
    scale = rescale(rng, total, x, out)
    return [other, replace(total, out=out, rescale=replace(scale, multiplier=scale.multiplier[:1]))]


def concat(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a value and one that is made from it, side by side."""
    other, both = branch(rng, name, source, x)
    return [other, Concat(name=name, inputs=both, out=replace(x, shape=(*x.shape[:-1], 2 * x.shape[-1])))]


def squared_error(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw the distance of a value from one that is made from it, which may be a vector."""
    other, both = branch(rng, name, source, x)
    made = [other]
    if draw(st.booleans()):
        made += flatten(draw, rng, f"{name}.flat", other.name, other.out)
        both = (source, made[-1].name)
    return [*made, SquaredError(name=name, inputs=both, out=TensorType((1,), INT32, x.scale**2))]


def flatten(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Return a value as a vector."""
    return [Flatten(name=name, inputs=(source,), out=replace(x, shape=(x.size,)))]


def branch(rng: Rng, name: str, source: str, x: TensorType) -> tuple[Op, tuple[str, str]]:
    """Return a value that is made from ``x``, and both names in any order."""
    other = to(rng, f"{name}.other", source, x, x)
    return other, (source, other.name) if rng.random() < 0.5 else (other.name, source)


def _window(draw: Draw, x: TensorType) -> tuple[tuple[int, int], tuple[int, int]]:
    kernel = (draw(st.integers(1, min(3, x.shape[0]))), draw(st.integers(1, min(4, x.shape[1]))))
    return kernel, (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
