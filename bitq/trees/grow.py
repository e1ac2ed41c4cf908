"""From a dataset to an integer graph of trees: what they see, how they are trained, what the chip runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bitq.data.dataset import Dataset, Split, to_chip
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, Features, Op
from bitq.ir.ops.features import KINDS, LONGEST
from bitq.ir.ranges import prove
from bitq.ir.reference import values
from bitq.ir.types import INT8, INT16, INT32, TensorType
from bitq.trees.config import ForestConfig
from bitq.trees.fit import Grown, Labels, Metric, Rows, Table, fit

INPUT, WINNER = "input", "winner"
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
    found: list[tuple[Grown, Graph]] = []
    stems = [Graph(name, source, ops, ()) for ops in _stems(config, data.input.shape, source)]
    for number, stem in enumerate(stems):

        def told(done: int, total: int, best: float, before: int = number) -> None:
            on_candidate(before * total + done, len(stems) * total, best)

        train, val = (
            Table(_features(stem, split.x), split.y, data.class_weights)
            for split in (data.train, _some(data.val, config.rows))
        )
        found.append((fit(config, kind, train, val, _last(stem), seed, metric, told), stem))
    grown, stem = max(found, key=lambda pair: pair[0].validation)  # the first of equals: raw
    arg_max = ArgMax(name=WINNER, inputs=(grown.forest.name,), out=TensorType((1,), INT32, 1.0))
    graph = Graph(name, source, (*stem.ops, grown.forest, arg_max), (grown.forest.name,), WINNER)
    prove(check(graph))
    return graph, lambda x: grown.before(_features(stem, x))


def _stems(config: ForestConfig, shape: tuple[int, ...], source: TensorType) -> list[tuple[Op, ...]]:
    """Return what may compute the features from the input: nothing, statistics, or both to choose from."""
    if config.features == "raw" or len(shape) != 2:
        return [()]
    window = min(shape[1] // config.windows, LONGEST)
    op = Features(
        name="features",
        inputs=(INPUT,),
        out=TensorType((1,), INT16, 1.0),
        window=window,
        windows=shape[1] // window,
        kinds=tuple(kind for kind in KINDS if kind in config.statistics),
    )
    statistics = (replace(op, out=replace(op.out, shape=op.infer_shape(source))),)
    return [statistics] if config.features == "statistics" else [(), statistics]


def _last(stem: Graph) -> tuple[str, TensorType]:
    return list(stem.types().items())[-1]


def _features(stem: Graph, x: NDArray[np.int8]) -> Rows:
    """Return the features ``(n, features)`` of inputs in torch's order."""
    name = _last(stem)[0]
    parts = [values(stem, to_chip(x[i : i + _BATCH]))[name] for i in range(0, len(x), _BATCH)]
    return np.concatenate(parts).reshape(len(x), -1).astype(np.int32)


def _some(split: Split, rows: int) -> Split:
    """Return evenly spaced rows, all of them where there are not more."""
    return split.take(np.linspace(0, len(split) - 1, min(rows, len(split))).astype(np.int64))


def _chip_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape in torch's order as the chip has it: channels last, a sequence with height 1."""
    if len(shape) == 1:
        return shape
    return (*((1,) if len(shape) == 2 else ()), *shape[1:], shape[0])
