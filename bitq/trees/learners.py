"""What scikit-learn grows for each kind of task, and what a leaf of it counts for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bitq.ir.ops import Forest
from bitq.trees.convert import Leaves, forest_of, means
from bitq.trees.rounding import Lattice

Answers = NDArray[Any]


@dataclass(frozen=True)
class Growth:
    """What an estimator is made for.

    Attributes:
        trees: their number; rounds of boosting.
        depth: comparisons from root to leaf, at most.
        rows: to learn from.
        seen: rows that one tree sees, at most.
        features: their number.
        learning_rate: of boosting.
        seed: of all random choices.
    """

    trees: int
    depth: int
    rows: int
    seen: int
    features: int
    learning_rate: float
    seed: int

    @property
    def drawn(self) -> int | None:
        """Rows that are drawn for a tree of a forest; None for as many as there are."""
        return self.seen if self.seen < self.rows else None


@dataclass(frozen=True)
class Learner:
    """One kind of trees for one kind of task.

    Attributes:
        estimator: makes what is to be fitted.
        leaf: ``vote`` for a class; ``scores``, a value for each of them; ``value``, one for a score in turn.
        together: of the number of scores, trees that grow in one round.
        gain: of a fitted estimator, what a unit of its leaves adds to the answer.
        values: of an estimator, what stands in the nodes of a tree.
        answers: of an estimator and rows, what it says of them in floating point.
        single: whether it is one tree, however many the budget holds.
    """

    estimator: Callable[[Growth], Any]
    leaf: str = "value"
    together: Callable[[int], int] = lambda scores: 1
    gain: Callable[[Any], float] = lambda model: 1.0
    values: Callable[[Any], Leaves] = lambda model: means
    answers: Callable[[Any, Answers], Answers] = lambda model, x: model.predict(x)
    single: bool = False

    def operation(
        self,
        model: Any,
        lattice: Lattice,
        *,
        source: str,
        scores: int,
        leaf_bits: int,
        values: Leaves | None = None,
        base: float = 0.0,
        name: str = "trees",
    ) -> Forest:
        """Return a fitted estimator as one operation.

        Args:
            model: the estimator.
            lattice: of the features that it was fitted on.
            source: name of the value that the operation reads.
            scores: number of scores: classes, or 1.
            leaf_bits: of values in leaves.
            values: of a tree, what stands in its nodes; by default `Learner.values`.
            base: what is added to the answers.
            name: of the operation.
        """
        return forest_of(
            [estimator.tree_ for estimator in np.ravel(getattr(model, "estimators_", model))],
            lattice,
            name=name,
            source=source,
            scores=scores,
            values=values or self.values(model),
            leaf_bits=0 if self.leaf == "vote" else leaf_bits,
            first=scores - self.together(scores) if self.leaf == "value" else 0,
            gain=self.gain(model),
            base=base,
        )


def path_length(rows: Any) -> NDArray[np.float64]:
    """Return the mean length of a path to a leaf when ``rows`` are isolated, ``2 H(n − 1) − 2 (n − 1) / n``.

    The mean of an unsuccessful search in a binary tree: Liu, Ting, Zhou, Isolation Forest, ICDM 2008, equation 1.
    """
    n = np.maximum(np.asarray(rows, np.float64), 1)
    harmonic = np.log(np.maximum(n - 1, 1)) + np.euler_gamma
    return np.where(n > 2, 2 * harmonic - 2 * (n - 1) / n, n - 1)


def _shorter(model: Any) -> Leaves:
    """Return how much shorter than usual the path to a node is."""
    usual = path_length(model.max_samples_)

    def leaves(tree: Any) -> NDArray[np.float64]:
        depth = tree.compute_node_depths() - 1
        return (usual - depth - path_length(tree.n_node_samples))[:, None]

    return leaves


def _root(growth: Growth) -> str | float:
    """Return how many features a split is chosen from, of many the square root of their number."""
    return "sqrt" if growth.features > 32 else 1.0


def _third(growth: Growth) -> float:
    """Return the share of features that a split is chosen from, of many what Breiman advises for regressions."""
    return 1 / 3 if growth.features > 32 else 1.0


def _one_tree(kind: Any) -> Callable[[Growth], Any]:
    return lambda growth: kind(max_depth=growth.depth, random_state=growth.seed)


def _forest(kind: Any, tried: Callable[[Growth], str | float]) -> Callable[[Growth], Any]:
    return lambda growth: kind(
        growth.trees,
        max_depth=growth.depth,
        max_samples=growth.drawn,
        max_features=tried(growth),
        random_state=growth.seed,
    )


def _boosting(kind: Any, tried: Callable[[Growth], str | float]) -> Callable[[Growth], Any]:
    return lambda growth: kind(
        n_estimators=growth.trees,
        max_depth=growth.depth,
        learning_rate=growth.learning_rate,
        subsample=growth.seen / growth.rows,
        max_features=tried(growth),
        init="zero",
        random_state=growth.seed,
    )


def _isolation(kind: Any) -> Callable[[Growth], Any]:
    # As many rows as leaves: scikit-learn's trees are as deep as the logarithm of the rows.
    return lambda growth: kind(
        n_estimators=growth.trees, max_samples=min(1 << growth.depth, growth.seen), random_state=growth.seed
    )


def _share(model: Any) -> float:
    return 1 / len(model.estimators_)


def _rate(model: Any) -> float:
    return float(model.learning_rate)


LEARNERS: dict[str, dict[str, Learner]] = {
    "classification": {
        "tree": Learner(_one_tree(DecisionTreeClassifier), "vote", single=True),
        "forest": Learner(_forest(RandomForestClassifier, lambda growth: "sqrt"), "vote"),
        "soft": Learner(_forest(RandomForestClassifier, lambda growth: "sqrt"), "scores", gain=_share),
        # Two classes share one sum, whose sign decides: score 0 stays 0.
        "boosting": Learner(
            _boosting(GradientBoostingClassifier, _root),
            together=lambda scores: scores if scores > 2 else 1,
            gain=_rate,
        ),
    },
    "regression": {
        "tree": Learner(_one_tree(DecisionTreeRegressor), single=True),
        "forest": Learner(_forest(RandomForestRegressor, _third), gain=_share),
        "boosting": Learner(_boosting(GradientBoostingRegressor, _third), gain=_rate),
    },
    "anomaly": {
        # The score is 1 + log2(s) of Liu's, Ting's and Zhou's s = 2^(−E[h] / c): positive where s exceeds 0.5.
        "isolation": Learner(
            _isolation(IsolationForest),
            gain=lambda model: _share(model) / float(path_length(model.max_samples_)),
            values=_shorter,
            answers=lambda model, x: 1 + np.log2(-model.score_samples(x)),
        ),
    },
}
"""By task and kind, as `bitq.trees.config.KINDS` names them."""
