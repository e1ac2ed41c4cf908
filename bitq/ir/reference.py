"""What a graph means, to the bit: the numpy oracle that C and firmware must equal.

Arithmetic is exact; what a single operation means stands beside it in `bitq.ir.ops`. Sums of products run through
float64 matrix products, which are exact below 2^53; the accumulators are proved to fit in int32
(`bitq.ir.ranges`), so no bit is lost and the products run at BLAS speed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitq.ir.graph import Graph
from bitq.ir.ops import Values

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
        results[op.name] = op.evaluate(inputs, [types[name] for name in op.inputs])
    return results


def _evaluate_block(graph: Graph, x: NDArray[Any]) -> Outputs:
    results = values(graph, x)
    scores = np.concatenate([results[name].reshape(len(x), -1) for name in graph.outputs], axis=1)
    winners = results[graph.winner][:, 0] if graph.winner else np.zeros(len(x), np.int64)
    return Outputs(scores.astype(np.int32), winners.astype(np.int32))
