"""N5: a random forest of 10 trees of depth 6 on 20 features of 16 bits, from a named generator and seed."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax
from bitq.ir.ranges import prove
from bitq.ir.types import INT16, INT32, DType, TensorType
from bitq.trees.convert import forest_of
from bitq.trees.rounding import lattice_of

GENERATOR = "sklearn.datasets.make_classification"
SEED = 5
_FEATURES = TensorType((20,), INT16, 1.0)
_ROWS, _HELD_OUT = 2000, 1000
_CLASSES = 3


def rows(*, held_out: bool = False) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Return features int16 ``(n, 20)``, of a spread of some 4,000, and their classes: to fit, or held out."""
    x, y = make_classification(
        _ROWS + _HELD_OUT,
        n_features=_FEATURES.size,
        n_informative=8,
        n_redundant=4,
        n_classes=_CLASSES,
        random_state=SEED,
    )
    part = slice(_ROWS, None) if held_out else slice(_ROWS)
    return np.clip(np.rint(x[part] * 2000), INT16.low, INT16.high).astype(np.int16), y[part].astype(np.int64)


@cache
def fitted(step: int = 1) -> RandomForestClassifier:
    """Return the forest, fitted on what bitq's thresholds tell apart, so that all decide alike.

    Args:
        step: of the features between two thresholds; the trees are the same for all.
    """
    x, y = rows()
    model = RandomForestClassifier(10, max_depth=6, random_state=SEED)
    return model.fit(lattice_of(_FEATURES).coarse(x.astype(np.int64)) * step, y)


def n5(weights: DType | None = None, activations: DType | None = None) -> Graph:
    """Return the forest as a graph in which each tree votes; it has no weights and no activations."""
    trees = [tree.tree_ for tree in fitted().estimators_]
    op = forest_of(trees, lattice_of(_FEATURES), source="input", scores=_CLASSES)
    winner = ArgMax(name="winner", inputs=(op.name,), out=TensorType((1,), INT32, 1.0))
    graph = Graph("n5", _FEATURES, (op, winner), (op.name,), winner.name)
    prove(check(graph))
    return graph
