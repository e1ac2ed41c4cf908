"""Training trees to a byte budget: of all depths, each with as many trees as fit, the best on validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import ConfigError
from bitq.ir.ops import Forest
from bitq.ir.types import TensorType
from bitq.trees.config import ForestConfig
from bitq.trees.learners import LEARNERS, Answers, Growth, Learner
from bitq.trees.rounding import Lattice, lattice_of

Rows = NDArray[np.integer[Any]]
Merit = Callable[[Answers, Answers], float]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows to learn from.

    Attributes:
        x: integer features ``(n, features)``.
        y: int64 labels, or float32 values of one target, ``(n,)``.
        class_weights: of a classification, one per class.
    """

    x: Rows
    y: NDArray[Any]
    class_weights: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Grown:
    """Trained trees.

    Attributes:
        forest: the operation that they are.
        model: the same before rounding, of `Lattice.coarse` features in floating point.
        learner: what it is.
        lattice: of those features.
        base: what is added to the model's answers: the mean of a target.
        merit: of the operation on validation.
    """

    forest: Forest
    model: Any
    learner: Learner
    lattice: Lattice
    base: float
    merit: float

    def before(self, x: Rows) -> Answers:
        """Return what scikit-learn says of features ``(n, features)``: classes, values of a target, or scores."""
        said = self.learner.answers(self.model, self.lattice.coarse(x.astype(np.int64)))
        return said + self.base if self.base else said


def fit(
    config: ForestConfig,
    task: str,
    kind: str,
    train: Table,
    val: Table,
    source: tuple[str, TensorType],
    seed: int,
    merit: Merit,
    *,
    name: str = "trees",
    on_candidate: Callable[[int, int], None] = lambda done, total: None,
) -> Grown:
    """Train one kind of trees in all sizes of the budget and return the best, the smaller one on ties.

    Args:
        config: how to train.
        task: what rows are labelled with, a key of `LEARNERS`.
        kind: one of those that learn it.
        train: all classes occur.
        val: to choose on.
        source: name and type of the value that holds the features.
        seed: of bootstraps, feature choices and ties.
        merit: of labels and answers; larger is better.
        name: of the operation.
        on_candidate: called with (candidates done, in all) after each.

    Raises:
        ConfigError: the budget is too small for a single tree.
    """
    learner, classifies = LEARNERS[task][kind], task == "classification"
    read, x_type = source
    lattice = lattice_of(x_type)
    coarse = lattice.coarse(train.x.astype(np.int64)).astype(np.float32)
    weights = np.asarray(train.class_weights)[train.y] if classifies else None
    base = float(train.y.mean(dtype=np.float64)) if task == "regression" else 0.0
    scores = len(train.class_weights) if classifies else 1
    sizes = list(_sizes(config, learner, scores))
    if not sizes:
        what = {"classification": f" for {scores} classes", "regression": " for one target"}.get(task, "")
        raise ConfigError(f"model.budget_bytes: {config.budget_bytes} bytes hold no {kind}{what}; raise it.")
    best: Grown | None = None
    for done, (trees, depth) in enumerate(sizes, 1):
        rows, features = coarse.shape
        model = learner.estimator(
            Growth(trees, depth, rows, min(config.rows, rows), features, config.learning_rate, seed)
        )
        model.fit(coarse, train.y - base if base else train.y, sample_weight=weights)
        forest = learner.operation(
            model, lattice, name=name, source=read, scores=scores, leaf_bits=config.leaf_bits, base=base
        )
        found = forest.evaluate([val.x.astype(np.int64)], [x_type])
        real = (found[:, 0] - forest.out.zero_point) * forest.out.scale
        grown = Grown(
            forest, model, learner, lattice, base, merit(val.y, found.argmax(axis=1) if classifies else real)
        )
        if best is None or (grown.merit, -forest.packed_bytes) > (best.merit, -best.forest.packed_bytes):
            best = grown
        on_candidate(done, len(sizes))
    assert best is not None
    return best


def _sizes(config: ForestConfig, learner: Learner, scores: int) -> Iterator[tuple[int, int]]:
    """Yield (trees, depth) for each depth at which the budget holds a tree; boosting counts rounds."""
    vote_bits = next(bits for bits in (1, 2, 4, 8, 16) if scores <= 1 << bits)
    leaf_bits = {"vote": vote_bits, "scores": scores * config.leaf_bits, "value": config.leaf_bits}[learner.leaf]
    together = learner.together(scores)
    for depth in range(1, config.max_depth + 1):
        leaves = 1 << depth
        tree_bits = 16 * (leaves - 1) + leaf_bits * leaves
        count = min(config.max_trees // together, (8 * config.budget_bytes - 16) // (tree_bits * together))
        if count >= 1:
            yield (1 if learner.single else count), depth
