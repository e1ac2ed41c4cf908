"""Interval analysis over the actual weights: proves that no accumulator and no product can overflow int32."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import RangeError
from bitq.ir.graph import Graph, rescale_of, weights_of
from bitq.ir.ops import Add, AvgPool, Op
from bitq.ir.types import INT32_MAX, Rescale, TensorType


class Interval(NamedTuple):
    """Smallest and largest value that each output channel can reach, int64 ``(channels,)`` or ``(1,)``."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @property
    def magnitude(self) -> int:
        """Largest absolute value over all channels."""
        return int(max(-self.low.min(), self.high.max(), 0))


def accumulator(op: Op, x: TensorType, *others: TensorType) -> Interval:
    """Return the interval of an operation's accumulator, partial sums included, for any inputs of these types.

    Partial sums are covered because the bounds add every term at its worst, with the bias and with 0.
    """
    low, high = x.dtype.low - x.zero_point, x.dtype.high - x.zero_point
    if isinstance(op, Add):
        terms = list(zip((x, *others), op.multipliers, strict=True))
        smallest = sum((value.dtype.low - value.zero_point) * multiplier for value, multiplier in terms)
        largest = sum((value.dtype.high - value.zero_point) * multiplier for value, multiplier in terms)
        return Interval(np.array([smallest]), np.array([largest]))
    weights = weights_of(op)
    if weights is None:
        terms = int(np.prod(op.kernel)) if isinstance(op, AvgPool) else 1
        return Interval(np.array([min(0, terms * low)]), np.array([max(0, terms * high)]))
    matrix = weights.matrix
    # Padding contributes 0, so every term may also be absent.
    smallest = np.minimum(np.minimum(matrix * low, matrix * high), 0).sum(axis=1)
    largest = np.maximum(np.maximum(matrix * low, matrix * high), 0).sum(axis=1)
    bias: NDArray[np.int64] = getattr(op, "bias").astype(np.int64)  # noqa: B009  Dense and Conv have one
    return Interval(smallest + np.minimum(bias, 0), largest + np.maximum(bias, 0))


def product_magnitude(acc: Interval, rescale: Rescale) -> int:
    """Return the largest absolute value inside a rescale, its rounding term included."""
    largest = np.maximum(np.abs(acc.low >> rescale.pre_shift), np.abs(acc.high >> rescale.pre_shift))
    rounding = 1 << (rescale.shift - 1) if rescale.shift else 0
    return int((largest * rescale.multiplier.astype(np.int64)).max()) + rounding


def prove(graph: Graph) -> dict[str, Interval]:
    """Prove that every intermediate value of a graph fits in int32.

    Returns:
        The accumulator interval of every operation that has one.

    Raises:
        RangeError: names the layer, what it may reach and how many bits that takes.
    """
    types = graph.types()
    proved: dict[str, Interval] = {}
    for op in graph.ops:
        rescale = rescale_of(op)
        if weights_of(op) is None and rescale is None:
            continue
        acc = accumulator(op, *(types[name] for name in op.inputs))
        _require(acc.magnitude, op, "its accumulator")
        if rescale is not None:
            _require(product_magnitude(acc, rescale), op, "accumulator times multiplier")
        proved[op.name] = acc
    return proved


def _require(magnitude: int, op: Op, what: str) -> None:
    if magnitude > INT32_MAX:
        raise RangeError(
            f"layer {op.layer or op.name}: {what} may reach ±{magnitude}, which takes {magnitude.bit_length() + 1} "
            "bits; int32 is allowed. Use fewer inputs per output or fewer weight bits there."
        )
