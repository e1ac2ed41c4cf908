"""Trees of scikit-learn as the integer graph has them: complete, with integers in nodes and leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops import Forest
from bitq.ir.types import INT32, TensorType
from bitq.trees.rounding import Lattice

Shares = NDArray[np.float64]


def forest_of(
    trees: Sequence[Any],
    lattice: Lattice,
    *,
    source: str,
    scores: int,
    leaf_bits: int = 0,
    first: int = 0,
) -> Forest:
    """Return fitted trees as one operation.

    Args:
        trees: ``tree_`` of each, fitted on `Lattice.coarse` features; a split compares whole numbers.
        lattice: of those features.
        source: name of the value that the operation reads.
        scores: number of classes.
        leaf_bits: 0 lets each tree vote for its leaf's largest value; 8 or 16 keeps the values themselves: those of
            all classes of a classifier, or the one of a regressor, which counts for the scores in turn.
        first: the lowest score that regressors add to.
    """
    depth = max(1, max(int(tree.max_depth) for tree in trees))
    parts = [_complete(tree, depth) for tree in trees]
    features = np.stack([part[0] for part in parts])
    gaps = np.stack([part[1] for part in parts])
    values = np.stack([part[2] for part in parts])
    thresholds = lattice.threshold(features, gaps)
    if leaf_bits:
        scale = float(np.abs(values).max()) / ((1 << (leaf_bits - 1)) - 1) or 1.0
        leaves = np.rint(values / scale)
    else:
        leaves, scale = values.argmax(axis=2)[:, :, None], 1.0
    return Forest(
        name="trees",
        inputs=(source,),
        out=TensorType((scores,), INT32, scale),
        features=features.astype(np.uint16),
        thresholds=thresholds.astype(np.int16),
        leaves=leaves.astype(np.int16),
        votes=not leaf_bits,
        first=first,
    )


def _complete(tree: Any, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Shares]:
    """Return feature and gap of every node in heap order, and the values of every leaf ``(2^depth, width)``.

    Below a leaf that is less deep all nodes compare feature 0 with gap 0, and all leaves are the same.
    """
    features, gaps = np.zeros((2, (1 << depth) - 1), np.int64)
    values = np.zeros((1 << depth, tree.value.shape[-1]))
    level = [0]
    for number in range(len(features)):
        node = level[number]
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            left = right = node
        else:
            features[number] = tree.feature[node]
            gaps[number] = np.floor(tree.threshold[node])
        level += [left, right]
    for leaf, node in enumerate(level[len(features) :]):
        values[leaf] = tree.value[node][0]
    return features, gaps, values
