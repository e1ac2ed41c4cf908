"""What every operation means, to the bit: the numpy oracle that C and firmware must equal.

Arithmetic is exact. Sums of products run through float64 matrix products, which are exact below 2^53; the
accumulators are proved to fit in int32 (`bitq.ir.ranges`), so no bit is lost and the products run at BLAS speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bitq.ir.graph import Graph
from bitq.ir.ops import Add, ArgMax, AvgPool, Concat, Conv, Dense, Flatten, MaxPool, Op, Pair, Requantize
from bitq.ir.types import Rescale, TensorType

Values = NDArray[np.int64]
_BATCH = 512  # rows per block: keeps the unfolded windows of an image batch within the cache


class Outputs(NamedTuple):
    """Scores int32 ``(n, k)``, all outputs one after the other, and winners int32 ``(n,)`` (0 without ArgMax)."""

    scores: NDArray[np.int32]
    winners: NDArray[np.int32]


def evaluate(graph: Graph, x: NDArray[Any]) -> Outputs:
    """Run a graph on a batch.

    Args:
        graph: a checked graph.
        x: integers ``(n, *graph.input.shape)`` within the input's dtype; a trailing shape with as many elements
            in the same order is accepted.
    """
    rows = np.ascontiguousarray(x).reshape(len(x), *graph.input.shape)
    parts = [_evaluate_block(graph, rows[i : i + _BATCH]) for i in range(0, len(rows), _BATCH)]
    return Outputs(np.concatenate([p.scores for p in parts]), np.concatenate([p.winners for p in parts]))


def values(graph: Graph, x: NDArray[Any]) -> dict[str, Values]:
    """Run a graph on a small batch and return every value by name, for debugging and for tests."""
    types = graph.types()
    results: dict[str, Values] = {graph.input_name: x.reshape(len(x), *graph.input.shape).astype(np.int64)}
    for op in graph.ops:
        inputs = [results[name] for name in op.inputs]
        results[op.name] = _MEANING[type(op)](op, inputs, [types[name] for name in op.inputs])
    return results


def _evaluate_block(graph: Graph, x: NDArray[Any]) -> Outputs:
    results = values(graph, x)
    scores = np.concatenate([results[name].reshape(len(x), -1) for name in graph.outputs], axis=1)
    winners = results[graph.winner][:, 0] if graph.winner else np.zeros(len(x), np.int64)
    return Outputs(scores.astype(np.int32), winners.astype(np.int32))


def _finish(accumulator: Values, rescale: Rescale | None) -> Values:
    return accumulator if rescale is None else rescale.apply(accumulator)


def _dense(op: Dense, inputs: list[Values], types: list[TensorType]) -> Values:
    x = inputs[0].reshape(len(inputs[0]), -1) - types[0].zero_point
    return _finish(_matmul(x, op.weights.matrix) + op.bias.astype(np.int64), op.rescale)


def _conv(op: Conv, inputs: list[Values], types: list[TensorType]) -> Values:
    x = inputs[0] - types[0].zero_point
    windows = _windows(np.pad(x, ((0, 0), *op.padding, (0, 0))), op.reach, op.stride)
    windows = windows[:, :, :, :: op.dilation[0], :: op.dilation[1]]
    rows = np.split(op.weights.matrix, op.groups)
    channels = np.split(windows, op.groups, axis=-1)
    parts = [_matmul(part.reshape(*part.shape[:3], -1), row) for part, row in zip(channels, rows, strict=True)]
    return _finish(np.concatenate(parts, axis=-1) + op.bias.astype(np.int64), op.rescale)


def _max_pool(op: MaxPool, inputs: list[Values], types: list[TensorType]) -> Values:
    x = np.pad(inputs[0], ((0, 0), *op.padding, (0, 0)), constant_values=types[0].dtype.low)
    return _windows(x, op.kernel, op.stride).max(axis=(3, 4))


def _avg_pool(op: AvgPool, inputs: list[Values], types: list[TensorType]) -> Values:
    x = inputs[0] - types[0].zero_point
    return op.rescale.apply(_windows(x, op.kernel, op.stride).sum(axis=(3, 4)))


def _requantize(op: Requantize, inputs: list[Values], types: list[TensorType]) -> Values:
    return op.rescale.apply(inputs[0] - types[0].zero_point)


def _add(op: Add, inputs: list[Values], types: list[TensorType]) -> Values:
    terms = zip(inputs, types, op.multipliers, strict=True)
    return op.rescale.apply(sum(((x - kind.zero_point) * m for x, kind, m in terms), np.zeros((), np.int64)))


def _concat(op: Concat, inputs: list[Values], types: list[TensorType]) -> Values:
    return np.concatenate(inputs, axis=-1)


def _flatten(op: Flatten, inputs: list[Values], types: list[TensorType]) -> Values:
    return inputs[0].reshape(len(inputs[0]), -1)


def _arg_max(op: ArgMax, inputs: list[Values], types: list[TensorType]) -> Values:
    return inputs[0].reshape(len(inputs[0]), -1).argmax(axis=1)[:, None]


def _matmul(x: Values, matrix: Values) -> Values:
    return (x.astype(np.float64) @ matrix.T.astype(np.float64)).astype(np.int64)


def _windows(x: Values, kernel: Pair | tuple[int, ...], stride: Pair) -> Values:
    """Return every window as ``(n, out_h, out_w, kernel_h, kernel_w, channels)``."""
    view = sliding_window_view(x, tuple(kernel), axis=(1, 2))[:, :: stride[0], :: stride[1]]
    return np.moveaxis(view, 3, 5)


_MEANING: dict[type[Op], Callable[[Any, list[Values], list[TensorType]], Values]] = {
    Dense: _dense,
    Conv: _conv,
    MaxPool: _max_pool,
    AvgPool: _avg_pool,
    Requantize: _requantize,
    Add: _add,
    Concat: _concat,
    Flatten: _flatten,
    ArgMax: _arg_max,
}
