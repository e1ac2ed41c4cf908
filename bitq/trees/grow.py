"""From a dataset to an integer graph of trees: what they see, how they are trained, what the chip runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bitq.data.dataset import Dataset, Split, to_chip
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, Op
from bitq.ir.ranges import prove
from bitq.ir.reference import values
from bitq.ir.types import INT8, INT32, TensorType
from bitq.trees.config import ForestConfig
from bitq.trees.fit import Labels, Metric, Rows, Table, fit

WINNER = "winner"
_BATCH = 4096


def grow(
    config: ForestConfig,
    kind: str,
    data: Dataset,
    *,
    name: str,
    seed: int,
    metric: Metric,
    on_candidate: Callable[[int, int, float], None] = lambda done, total, best: None,
) -> tuple[Graph, Callable[[NDArray[np.int8]], Labels]]:
    """Train trees on a dataset.

    Args:
        config: how.
        kind: one of ``config.kinds``.
        data: its validation split chooses number and depth.
        name: C identifier of the graph.
        seed: of all random choices in training.
        metric: of labels and predictions.
        on_candidate: called with (candidates done, in all, best metric so far).

    Returns:
        The integer graph, and the classes of inputs ``(n, *shape)`` as scikit-learn predicts them before rounding.

    Raises:
        ConfigError: the task is no classification, the data has no time axis for statistics, or the budget holds no
            tree.
    """
    config.check_data(data.task, data.input.shape)
    source = TensorType(_chip_shape(data.input.shape), INT8, data.input.scale, data.input.zero_point)
    stem = Graph(name, source, tuple(_stem(config, source)), ())
    read, x_type = list(stem.types().items())[-1]

    def features(x: NDArray[np.int8]) -> Rows:
        parts = [values(stem, to_chip(x[i : i + _BATCH]))[read] for i in range(0, len(x), _BATCH)]
        return np.concatenate(parts).reshape(len(x), -1).astype(np.int32)

    def table(split: Split) -> Table:
        return Table(features(split.x), split.y, data.class_weights)

    grown = fit(config, kind, table(data.train), table(data.val), (read, x_type), seed, metric, on_candidate)
    arg_max = ArgMax(name=WINNER, inputs=(grown.forest.name,), out=TensorType((1,), INT32, 1.0))
    graph = Graph(name, source, (*stem.ops, grown.forest, arg_max), (grown.forest.name,), WINNER)
    prove(check(graph))
    return graph, lambda x: grown.before(features(x))


def _stem(config: ForestConfig, source: TensorType) -> list[Op]:
    """Return what computes the features from the input."""
    return []


def _chip_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape in torch's order as the chip has it: channels last, a sequence with height 1."""
    if len(shape) == 1:
        return shape
    return (*((1,) if len(shape) == 2 else ()), *shape[1:], shape[0])
