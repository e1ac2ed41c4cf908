"""Trees that somebody has fitted with scikit-learn, as an integer graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.validation import check_is_fitted

from bitq.core.errors import ConfigError
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, Forest
from bitq.ir.ops.forest import DEEPEST
from bitq.ir.ranges import prove
from bitq.ir.types import INT8, INT16, INT32, TensorType
from bitq.trees.convert import Leaves
from bitq.trees.grow import INPUT, WINNER
from bitq.trees.learners import LEARNERS, Learner
from bitq.trees.rounding import Lattice, lattice_of

_LEARNERS = (
    (DecisionTreeClassifier, "classification", "tree"),
    ((RandomForestClassifier, ExtraTreesClassifier), "classification", "soft"),
    (GradientBoostingClassifier, "classification", "boosting"),
    (DecisionTreeRegressor, "regression", "tree"),
    ((RandomForestRegressor, ExtraTreesRegressor), "regression", "forest"),
    (GradientBoostingRegressor, "regression", "boosting"),
    (IsolationForest, "anomaly", "isolation"),
)
_BOOSTING = (GradientBoostingClassifier, GradientBoostingRegressor)
_SAME = 1e-6  # of the spread of answers, within which a first answer counts as constant


def from_trees(
    model: Any, rows: NDArray[np.integer[Any]], *, name: str = "model", votes: bool = False, leaf_bits: int = 16
) -> Graph:
    """Turn fitted trees of scikit-learn into an integer graph, ready for ``bitq.export``.

    A split sends every integer where scikit-learn sends it, but for thresholds that are moved between two values of
    ``rows``, so that they name their feature and a node takes two bytes; no row goes another way. Leaves are
    rounded to one step for all.

    Args:
        model: a fitted decision tree, random forest, extra trees or gradient boosting, of classes or of one target,
            or an isolation forest; at most 10 comparisons deep.
        rows: integers ``(n, features)`` that it was fitted on. The input of the graph is INT8 where they fit into it,
            else INT16.
        name: C identifier; prefix of all symbols.
        votes: whether each tree of a classifying forest counts for one class, which takes the fewest bytes;
            scikit-learn adds up what share of its rows a leaf has of each.
        leaf_bits: of the values in leaves, 8 or 16.

    Returns:
        A graph whose scores, less their zero point, times their scale are the model's sums: shares of classes, what
        ``decision_function`` says (of boosting; with two classes 0 and that), values of the target, or 1 plus the
        binary logarithm of the isolation forest's score, positive where ``score_samples`` is below −0.5. With
        classes it returns the place in ``classes_``.

    Raises:
        ConfigError: the model is none of these or not fitted, or the rows are not integers of 16 bits.
    """
    task, learner = _learner(model, votes)
    if leaf_bits not in (8, 16):
        raise ConfigError(f"leaf_bits: leaves have 8 or 16 bits, got {leaf_bits}.")
    x_type = _type_of(rows, int(model.n_features_in_))
    trees = [tree.tree_ for tree in np.ravel(getattr(model, "estimators_", model))]
    depth = max(tree.max_depth for tree in trees)
    if depth > DEEPEST:
        raise ConfigError(f"its trees are {depth} deep, {DEEPEST} are possible; fit them with max_depth={DEEPEST}.")
    scores = len(model.classes_) if task == "classification" else 1
    start = _start(model, learner, rows, learner.together(scores)) if isinstance(model, _BOOSTING) else np.zeros(1)
    values = learner.values(model)
    if task == "classification" and start.any():
        values = _beginning(values, dict(zip(map(id, trees), start / learner.gain(model), strict=False)))
    every = Lattice(0, np.full(x_type.size, -1))  # all integers: a gap is a threshold
    base = float(start[0]) if task == "regression" else 0.0
    forest = learner.operation(
        model, every, source=INPUT, scores=scores, leaf_bits=leaf_bits, values=values, base=base
    )
    graph = Graph(name, x_type, (_moved(forest, x_type, rows.astype(np.int64)),), (forest.name,))
    if task == "classification":
        winner = ArgMax(name=WINNER, inputs=(forest.name,), out=TensorType((1,), INT32, 1.0))
        graph = replace(graph, ops=(*graph.ops, winner), winner=WINNER)
    prove(check(graph))
    return graph


def _learner(model: Any, votes: bool) -> tuple[str, Learner]:
    """Return what a model has learnt, and what its leaves count for."""
    what = type(model).__name__
    found = next(((task, kind) for classes, task, kind in _LEARNERS if isinstance(model, classes)), None)
    if found is None:
        known = "decision trees, random forests, extra trees, GradientBoosting and IsolationForest of scikit-learn"
        raise ConfigError(f"a {what} is not covered; use {known}.")
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ConfigError(f"the {what} is not fitted; call its fit(rows, …) first.") from error
    if (targets := getattr(model, "n_outputs_", 1)) != 1:
        raise ConfigError(f"the {what} has {targets} targets; fit one for each.")
    if isinstance(model, IsolationForest) and model.max_features != 1.0:
        raise ConfigError(
            f"IsolationForest(max_features={model.max_features}): all trees must see all; leave it at 1.0."
        )
    task, kind = found
    if votes and kind != "soft":
        raise ConfigError(f"votes: only trees of a forest of classes vote, not those of a {what}; leave it out.")
    return task, LEARNERS[task]["forest" if votes else kind]


def _type_of(rows: NDArray[Any], features: int) -> TensorType:
    """Return the type of the input: the smallest one that holds the rows."""
    if rows.ndim != 2 or rows.shape[1] != features or not len(rows):
        raise ConfigError(f"rows: the model was fitted on (n, {features}), got {rows.shape}.")
    if not np.issubdtype(rows.dtype, np.integer):
        raise ConfigError(
            f"rows: trees compare integers, got {rows.dtype}; fit the model on np.rint(x / step).astype(np.int16), "
            "with a step of your sensor, and give these."
        )
    for dtype in (INT8, INT16):
        if dtype.allows(rows):
            return TensorType((features,), dtype, 1.0)
    raise ConfigError(
        f"rows: integers of 16 bits are possible, {INT16.low} to {INT16.high}, got {rows.min()} to {rows.max()}; "
        "divide them before the model is fitted."
    )


def _start(model: Any, learner: Learner, rows: NDArray[Any], together: int) -> NDArray[np.float64]:
    """Return what boosting begins with, one number for each tree of a round."""
    some = rows[:: max(1, len(rows) // 1000)].astype(np.float32)
    said = model.decision_function(some) if hasattr(model, "decision_function") else model.predict(some)
    rounds = np.stack([[tree.predict(some) for tree in each] for each in model.estimators_])
    start = said.reshape(len(some), together) - learner.gain(model) * rounds.sum(axis=0).T
    if np.ptp(start, axis=0).max() > _SAME * max(1.0, float(np.abs(said).max())):
        raise ConfigError(f"{type(model).__name__}(init=…): it begins with another model; leave init out.")
    return start.mean(axis=0)


def _beginning(values: Leaves, first: dict[int, float]) -> Leaves:
    """Return values of leaves with what boosting begins with added in the first tree for each score."""
    return lambda tree: values(tree) + first.get(id(tree), 0.0)


def _moved(forest: Forest, x_type: TensorType, rows: NDArray[np.int64]) -> Forest:
    """Return a forest with each threshold on the lattice, as far as no row goes another way."""
    lattice, dtype = lattice_of(x_type), x_type.dtype
    thresholds = forest.thresholds.copy()
    for features, limits, leaves in zip(forest.features, thresholds, forest.leaves, strict=True):
        here = {0: np.arange(len(rows))}
        for node, feature in enumerate(map(int, features)):
            seen = rows[here[node], feature]
            right = seen > limits[node]
            here[2 * node + 1], here[2 * node + 2] = here[node][~right], here[node][right]
            low, high = dtype.low, dtype.high + 1
            if not _alike(leaves, node):
                low, high = max(seen[~right], default=low), min(seen[right], default=high)
            limits[node] = lattice.rounded(feature, int(low), int(high), int(limits[node]))
    return replace(forest, thresholds=thresholds)


def _alike(leaves: NDArray[np.int16], node: int) -> bool:
    """Whether all leaves below a node of a complete tree are the same."""
    level = (node + 1).bit_length() - 1
    each = len(leaves) >> level
    below = leaves[(node + 1 - (1 << level)) * each :][:each]
    return bool((below == below[0]).all())
