"""Training trees to a byte budget: of all depths, each with as many trees as fit, the best on validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from bitq.core.errors import ConfigError
from bitq.ir.ops import Forest
from bitq.ir.types import TensorType
from bitq.trees.config import ForestConfig
from bitq.trees.convert import forest_of
from bitq.trees.rounding import Lattice, lattice_of

Rows = NDArray[np.integer[Any]]
Labels = NDArray[np.int64]
Metric = Callable[[Labels, Labels], float]


@dataclass(frozen=True, eq=False)
class Grown:
    """Trained trees.

    Attributes:
        forest: the operation that they are.
        model: the same before rounding: predicts classes of `Lattice.coarse` features in floating point.
        lattice: of those features.
        validation: metric of the operation on validation.
    """

    forest: Forest
    model: Any
    lattice: Lattice
    validation: float

    def before(self, x: Rows) -> Labels:
        """Return the classes that scikit-learn predicts for features ``(n, features)``."""
        return np.asarray(self.model.predict(self.lattice.coarse(x.astype(np.int64))), np.int64)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows to learn from: integer features ``(n, features)``, labels ``(n,)``, a weight per class."""

    x: Rows
    y: Labels
    class_weights: tuple[float, ...]


def fit(
    config: ForestConfig,
    kind: str,
    train: Table,
    val: Table,
    source: tuple[str, TensorType],
    seed: int,
    metric: Metric,
    on_candidate: Callable[[int, int, float], None] = lambda done, total, best: None,
) -> Grown:
    """Train one kind of trees in all sizes of the budget and return the best, the smaller one on ties.

    Args:
        config: the budget, and how to train.
        kind: one of ``config.kinds``.
        train: all classes occur.
        val: to choose on.
        source: name and type of the value that holds the features.
        seed: of bootstraps, feature choices and ties.
        metric: of labels and predictions, in 0..1; larger is better.
        on_candidate: called with (candidates done, in all, best metric so far) after each.

    Raises:
        ConfigError: the budget is too small for a single tree.
    """
    name, x_type = source
    lattice = lattice_of(x_type)
    coarse = lattice.coarse(train.x.astype(np.int64)).astype(np.float32)
    weights = np.asarray(train.class_weights)[train.y]
    classes = len(train.class_weights)
    sizes = list(_sizes(config, kind, classes))
    if not sizes:
        raise ConfigError(f"model.budget_bytes: {config.budget_bytes} bytes hold no {kind} for {classes} classes.")
    best: Grown | None = None
    for done, (trees, depth) in enumerate(sizes, 1):
        model = _model(config, kind, trees, depth, seed, len(coarse), coarse.shape[1])
        model.fit(coarse, train.y, sample_weight=weights)
        forest = _converted(model, config, kind, lattice, name, classes)
        scores = forest.evaluate([val.x.astype(np.int64)], [x_type])
        grown = Grown(forest, model, lattice, metric(val.y, scores.argmax(axis=1)))
        if best is None or (grown.validation, -forest.packed_bytes) > (best.validation, -best.forest.packed_bytes):
            best = grown
        on_candidate(done, len(sizes), best.validation)
    assert best is not None
    return best


def _sizes(config: ForestConfig, kind: str, classes: int) -> Iterator[tuple[int, int]]:
    """Yield (trees, depth) for each depth at which the budget holds a tree; boosting counts rounds."""
    for depth in range(1, config.max_depth + 1):
        leaves, value_bits = 1 << depth, config.leaf_bits
        vote_bits = next(bits for bits in (1, 2, 4, 8, 16) if classes <= 1 << bits)
        leaf_bits = {"soft": classes * value_bits, "boosting": value_bits}.get(kind, vote_bits)
        tree_bits = 16 * (leaves - 1) + leaf_bits * leaves
        per_round = classes if kind == "boosting" and classes > 2 else 1
        count = min(config.max_trees // per_round, (8 * config.budget_bytes - 16) // (tree_bits * per_round))
        if count >= 1:
            yield (1 if kind == "tree" else count), depth


def _model(config: ForestConfig, kind: str, trees: int, depth: int, seed: int, rows: int, features: int) -> Any:
    share = min(1.0, config.rows / rows)
    if kind == "tree":
        return DecisionTreeClassifier(max_depth=depth, random_state=seed)
    if kind == "boosting":
        return GradientBoostingClassifier(
            n_estimators=trees,
            max_depth=depth,
            learning_rate=config.learning_rate,
            subsample=share,
            max_features="sqrt" if features > 32 else None,
            init="zero",
            random_state=seed,
        )
    return RandomForestClassifier(
        trees, max_depth=depth, max_samples=None if share == 1.0 else config.rows, random_state=seed
    )


def _converted(model: Any, config: ForestConfig, kind: str, lattice: Lattice, source: str, classes: int) -> Forest:
    if kind == "tree":
        return forest_of([model.tree_], lattice, source=source, scores=classes)
    estimators = [estimator.tree_ for estimator in np.ravel(model.estimators_)]
    if kind == "boosting":
        # Two classes share one sum, whose sign decides: score 0 stays 0.
        first = 1 if classes == 2 else 0
        return forest_of(estimators, lattice, source=source, scores=classes, leaf_bits=config.leaf_bits, first=first)
    leaf_bits = config.leaf_bits if kind == "soft" else 0
    return forest_of(estimators, lattice, source=source, scores=classes, leaf_bits=leaf_bits)
