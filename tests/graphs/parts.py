"""Pieces that random operations are made of: weights, biases, rescales, types."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitq.ir.ops import Op
from bitq.ir.types import INT8, INT32, INT32_MAX, UINT7, UINT8, DType, Rescale, TensorType, Weights

Draw = st.DrawFn
Rng = np.random.Generator
IDENTITY = Rescale(np.ones(1, np.int16), 0, 0, 0, INT32.low, INT32.high)


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
    acc = op.accumulators(*[x] * len(op.inputs))[0]
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
    """Return an 8-bit type; mostly unsigned with zero point 0, which lowering makes."""
    dtype = draw(st.sampled_from([UINT8, UINT7, INT8]))
    zero = 0 if draw(st.booleans()) else int(rng.integers(dtype.low, dtype.high + 1))
    return TensorType(shape, dtype, 0.5, zero)


def with_rescale(op: Op, rng: Rng, x: TensorType, out: TensorType) -> Op:
    """Return an operation that rescales to ``out``."""
    out = replace(out, shape=op.out.shape)
    return replace(op, out=out, rescale=rescale(rng, op, x, out))  # pyright: ignore[reportCallIssue]


def wide(rng: Rng, shape: tuple[int, ...] = ()) -> TensorType:
    """Return a type for scores."""
    return TensorType(shape, INT32, 1.0, int(rng.integers(-40, 40)))
