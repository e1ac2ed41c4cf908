"""A random operation that takes elements by themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from bitq.ir.ops import Lookup, Mul, Op, Ramp
from bitq.ir.types import INT32, TensorType
from tests.graphs.layers import branch, max_pool
from tests.graphs.parts import IDENTITY, Draw, Rng, rescale, small


def lookup(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a table."""
    out = small(draw, rng, x.shape)
    table = rng.integers(out.dtype.low, out.dtype.high + 1, 256).astype(np.int16)
    return [Lookup(name=name, inputs=(source,), out=out, table=table)]


def ramp(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw slopes of both signs, in all or per channel."""
    count = draw(st.sampled_from([1, x.shape[-1]]))
    positive, negative = (rng.integers(-(2**15), 2**15, count).astype(np.int16) for _ in range(2))
    offset = rng.integers(-(2**23), 2**23, count).astype(np.int32)
    op = Ramp(
        name=name, inputs=(source,), out=TensorType(x.shape, INT32, 1.0),
        positive=positive, negative=positive if draw(st.booleans()) else negative, offset=offset, rescale=IDENTITY,
    )  # fmt: skip
    return [_to(op, rng, (x,), small(draw, rng))]


def mul(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a product with a value of the same shape, or with one per channel."""
    before, both = branch(rng, name, source, x)
    ops, types = [before], (x, x)
    if len(x.shape) == 3 and draw(st.booleans()):
        gate = max_pool(draw, rng, f"{name}.gate", source, x)[0]
        gate = replace(gate, kernel=x.shape[:2], stride=(1, 1), padding=((0, 0), (0, 0)))
        gate = replace(gate, out=replace(x, shape=gate.infer_shape(x)))
        ops, both, types = [gate], (source, gate.name), (x, gate.out)
    op = Mul(name=name, inputs=both, out=TensorType(x.shape, INT32, 1.0), rescale=IDENTITY)
    return [*ops, _to(op, rng, types, small(draw, rng))]


def _to(op: Op, rng: Rng, types: tuple[TensorType, ...], out: TensorType) -> Op:
    out = replace(out, shape=types[0].shape)
    scale = rescale(rng, op, types[0], out)
    return replace(op, out=out, rescale=replace(scale, multiplier=scale.multiplier[:1]))  # pyright: ignore[reportCallIssue]
