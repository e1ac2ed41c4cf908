"""Trees of scikit-learn as the integer graph has them: complete, with integers in nodes and leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops import Forest
from bitq.ir.types import INT32, TensorType
from bitq.trees.rounding import Lattice

Reals = NDArray[np.float64]
Leaves = Callable[[Any], Reals]
_FURTHEST = 2**30  # steps from an output's 0 to its zero point, at most


def means(tree: Any) -> Reals:
    """Return what scikit-learn keeps in the nodes of a tree, ``(nodes, width)``: shares of classes, or a mean."""
    return tree.value[:, 0]


def forest_of(
    trees: Sequence[Any],
    lattice: Lattice,
    *,
    source: str,
    scores: int,
    values: Leaves = means,
    leaf_bits: int = 0,
    first: int = 0,
    gain: float = 1.0,
    base: float = 0.0,
    name: str = "trees",
) -> Forest:
    """Return fitted trees as one operation.

    Args:
        trees: ``tree_`` of each, fitted on `Lattice.coarse` features; a split compares whole numbers.
        lattice: of those features.
        source: name of the value that the operation reads.
        scores: number of scores: classes, or 1.
        values: of a tree, what stands in its nodes.
        leaf_bits: 0 lets each tree vote for its leaf's largest value; 8 or 16 keeps the values themselves: those of
            all scores, or one, which counts for the scores in turn.
        first: the lowest score that single values add to.
        gain: what a unit of a value adds to the real output.
        base: the real output of no tree at all; it becomes the zero point.
        name: of the operation.
    """
    depth = max(1, max(int(tree.max_depth) for tree in trees))
    parts = [_complete(tree, values(tree), depth) for tree in trees]
    features = np.stack([part[0] for part in parts])
    gaps = np.stack([part[1] for part in parts])
    real = np.stack([part[2] for part in parts])
    if leaf_bits:
        step = float(np.abs(real).max()) / ((1 << (leaf_bits - 1)) - 1)
        step = max(step, abs(base) / (gain * _FURTHEST)) or 1.0
        leaves, scale = np.rint(real / step), gain * step
    else:
        leaves, scale = real.argmax(axis=2)[:, :, None], 1.0
    return Forest(
        name=name,
        inputs=(source,),
        out=TensorType((scores,), INT32, scale, -round(base / scale)),
        features=features.astype(np.uint16),
        thresholds=lattice.threshold(features, gaps).astype(np.int16),
        leaves=leaves.astype(np.int16),
        votes=not leaf_bits,
        first=first,
    )


def _complete(tree: Any, real: Reals, depth: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Reals]:
    """Return feature and gap of every node in heap order, and of ``real`` that of every leaf ``(2^depth, width)``.

    Below a leaf that is less deep all nodes compare feature 0 with gap 0, and all leaves are the same.
    """
    features, gaps = np.zeros((2, (1 << depth) - 1), np.int64)
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
    return features, gaps, real[level[len(features) :]]
