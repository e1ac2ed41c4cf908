"""A random operation that only moves integers."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from bitq.ir.ops import Op, Pad, Reshape, View
from bitq.ir.types import TensorType
from tests.graphs.parts import Draw, Rng


def pad(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a border."""
    top, bottom, left, right = (draw(st.integers(0, 2)) for _ in range(4))
    value = draw(st.sampled_from([x.zero_point, x.dtype.low, int(rng.integers(x.dtype.low, x.dtype.high + 1))]))
    op = Pad(name=name, inputs=(source,), out=x, padding=((top, bottom), (left, right)), value=value)
    return [replace(op, out=replace(x, shape=op.infer_shape(x)))]


def reshape(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw another shape with as many elements."""
    divisors = [d for d in range(1, x.size + 1) if x.size % d == 0]
    channels = draw(st.sampled_from(divisors))
    height = draw(st.sampled_from([d for d in divisors if (x.size // channels) % d == 0]))
    return [
        Reshape(name=name, inputs=(source,), out=replace(x, shape=(height, x.size // channels // height, channels)))
    ]


def view(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw slices with any step, in any order of the axes."""
    sizes, strides, offset = [], [], 0
    steps = [x.size // _product(x.shape[: axis + 1]) for axis in range(len(x.shape))]
    for size, stride in zip(x.shape, steps, strict=True):
        first = draw(st.integers(0, size - 1))
        step = draw(st.sampled_from([1, 1, 2, -1]))
        count = draw(st.integers(1, 1 + (first if step < 0 else (size - 1 - first) // step)))
        sizes.append(count)
        strides.append(stride * step)
        offset += first * stride
    order = draw(st.permutations(range(len(sizes))))
    out = replace(x, shape=tuple(sizes[axis] for axis in order))
    return [View(name=name, inputs=(source,), out=out, offset=offset, strides=tuple(strides[axis] for axis in order))]


def _product(sizes: tuple[int, ...]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
