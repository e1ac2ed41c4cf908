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
from bitq.trees.fit import Grown, Merit, Rows, Table, fit
from bitq.trees.learners import Answers

INPUT, WINNER = "input", "winner"
_BATCH = 4096


def grow(
    config: ForestConfig,
    kind: str,
    data: Dataset,
    *,
    name: str,
    seed: int,
    merit: Merit,
    on_candidate: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Graph, Callable[[NDArray[np.int8]], Answers]]:
    """Train trees on a dataset; several targets have trees of their own, which share the budget.

    Args:
        config: how.
        kind: one of ``config.kinds``.
        data: its validation split chooses number and depth.
        name: C identifier of the graph.
        seed: of all random choices in training.
        merit: of labels and answers; larger is better.
        on_candidate: called with (candidates done, in all).

    Returns:
        The integer graph, and the answers to inputs ``(n, *shape)`` as scikit-learn gives them before rounding:
        classes, targets ``(n, targets)`` or scores of anomalies ``(n,)``.

    Raises:
        ConfigError: the kind does not learn the task, the data has no time axis for statistics, or the budget holds
            no tree.
    """
    replace(config, kinds=[kind]).check_data(data.task, data.input.shape)
    source = TensorType(_chip_shape(data.input.shape), INT8, data.input.scale, data.input.zero_point)
    stems = [Graph(name, source, ops, ()) for ops in _stems(config, data.input.shape, source)]
    regression, val = data.task == "regression", _some(data.val, config.rows)
    targets = data.outputs if regression else 1
    weights = data.class_weights if data.task == "classification" else ()
    found: list[tuple[list[Grown], Graph]] = []
    for stem in stems:
        trees: list[Grown] = []
        room = config.budget_bytes - sum(op.packed_bytes for op in stem.ops if isinstance(op, Features))
        shared = replace(config, budget_bytes=room // targets)
        features, val_features = _features(stem, data.train.x), _features(stem, val.x)
        for target in range(targets):
            before = len(found) * targets + target

            def told(done: int, total: int, before: int = before) -> None:
                on_candidate(before * total + done, len(stems) * targets * total)

            train_y, val_y = (s.y[:, target] if regression else s.y for s in (data.train, val))
            train = Table(features, train_y, weights)
            trees.append(
                fit(
                    shared,
                    data.task,
                    kind,
                    train,
                    Table(val_features, val_y),
                    _last(stem),
                    seed,
                    merit,
                    name="trees" if targets == 1 else f"trees_{target}",
                    on_candidate=told,
                )
            )
        found.append((trees, stem))
    # The first of equals: raw.
    trees, stem = max(found, key=lambda pair: sum(grown.merit for grown in pair[0]))
    outputs = tuple(grown.forest.name for grown in trees)
    graph = Graph(name, source, (*stem.ops, *(grown.forest for grown in trees)), outputs)
    if data.task == "classification":
        arg_max = ArgMax(name=WINNER, inputs=outputs, out=TensorType((1,), INT32, 1.0))
        graph = replace(graph, ops=(*graph.ops, arg_max), winner=WINNER)
    prove(check(graph))

    def answers(x: NDArray[np.int8]) -> Answers:
        said = [grown.before(_features(stem, x)) for grown in trees]
        return np.stack(said, axis=1) if regression else said[0]

    return graph, answers


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
