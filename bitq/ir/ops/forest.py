"""Decision trees over integer features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops.base import Accumulator, Op, Values
from bitq.ir.ops.rules import one_input, rule
from bitq.ir.types import BYTES, INT8, INT16, INT32, TensorType

DEEPEST = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Forest(Op):
    """The scores that complete binary trees of one depth give together.

    Node ``i`` sends an input to node ``2 i + 1``, or to ``2 i + 2`` where ``x[feature] > threshold``; below the last
    nodes are the leaves. A tree that is less deep repeats its leaf. Input elements count in their (channels-last)
    order.

    Attributes:
        features: which element of the input a node compares, uint16 ``(trees, 2^depth − 1)``.
        thresholds: of the same shape, within the input's type.
        leaves: int16 ``(trees, 2^depth, width)``. Votes: the class that gets one vote, width 1. Else values to add
            to the scores: to all of them, or, width 1, to one: tree after tree to score ``first``, ``first + 1``, …,
            the last score, and from ``first`` again, as boosting makes them.
        votes: whether leaves are classes.
        first: lowest score that a tree of width 1 adds to.
    """

    features: NDArray[np.uint16]
    thresholds: NDArray[np.int16]
    leaves: NDArray[np.int16]
    votes: bool = True
    first: int = 0

    @property
    def depth(self) -> int:
        """Comparisons from root to leaf."""
        return (self.features.shape[1] + 1).bit_length() - 1

    @property
    def scores(self) -> int:
        """Number of scores."""
        return self.out.size

    @property
    def vote_bits(self) -> int:
        """Bits of a class number as a table holds it: 1, 2, 4 or 8."""
        return next(bits for bits in (1, 2, 4, 8) if self.scores <= 1 << bits)

    @property
    def leaf_bits(self) -> int:
        """Bits of a class, or of a value, in a table of the leaves."""
        return self.vote_bits if self.votes else 8 if INT8.allows(self.leaves) else 16

    @property
    def packed_bytes(self) -> int:
        """Bytes of nodes that name their features in 16 bits, and of the leaves, as tables."""
        return 2 * self.features.size + 2 - (-self.leaves.size * self.leaf_bits // 8)

    def targets(self) -> NDArray[np.int64]:
        """Return the score that each tree adds to, for leaves of width 1: ``(trees,)``."""
        return self.first + np.arange(len(self.leaves)) % (self.scores - self.first)

    def check(self, *inputs: TensorType) -> None:
        """Complete trees, features that exist, thresholds and leaves that the types hold."""
        x = one_input(self, inputs)
        dimensions = (self.features.ndim, self.thresholds.ndim, self.leaves.ndim)
        rule(dimensions == (2, 2, 3), self.name, f"(trees, nodes) twice and (trees, leaves, width), got {dimensions}")
        trees, nodes = self.features.shape
        rule(x.dtype in (*BYTES, INT16), self.name, f"it reads 8 or 16 bits, got {x.dtype.name}")
        rule(self.out.dtype is INT32, self.name, "it gives INT32 scores")
        whole = trees >= 1 and 1 <= self.depth <= DEEPEST and nodes + 1 == 1 << self.depth
        rule(whole, self.name, f"its trees are complete, 1 to {DEEPEST} deep; got {nodes} nodes in each of {trees}")
        rule(self.thresholds.shape == (trees, nodes), self.name, "one threshold per node")
        rule(int(self.features.max()) < x.size, self.name, f"it reads features 0..{x.size - 1}")
        rule(x.dtype.allows(self.thresholds), self.name, f"its thresholds lie within {x.dtype.name}")
        width = self.leaves.shape[-1]
        widths = (1,) if self.votes else (1, self.scores)
        fits = self.leaves.shape == (trees, nodes + 1, width) and width in widths
        rule(fits, self.name, f"{nodes + 1} leaves per tree of width {widths}, got {self.leaves.shape}")
        classes = int(self.leaves.min()) >= 0 and int(self.leaves.max()) < min(self.scores, 256)
        rule(classes or not self.votes, self.name, f"a vote is for one of {self.scores} classes, 256 at most")
        rule(0 <= self.first < self.scores, self.name, f"its first score is one of {self.scores}, got {self.first}")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """As many scores as declared: nothing else tells their number."""
        return (self.scores,)

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """The worst leaf of every tree that adds to a score."""
        if self.votes:
            return (Accumulator(np.zeros(1, np.int64), np.array([len(self.leaves)])),)
        low = np.minimum(self.leaves.min(axis=1), 0).astype(np.int64)
        high = np.maximum(self.leaves.max(axis=1), 0).astype(np.int64)
        if self.leaves.shape[-1] == self.scores:
            return (Accumulator(low.sum(axis=0), high.sum(axis=0)),)
        lows, highs = np.zeros(self.scores, np.int64), np.zeros(self.scores, np.int64)
        np.add.at(lows, self.targets(), low[:, 0])
        np.add.at(highs, self.targets(), high[:, 0])
        return (Accumulator(lows, highs),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        x = inputs[0].reshape(len(inputs[0]), -1)
        rows = np.arange(len(x))
        scores = np.zeros((len(x), self.scores), np.int64)
        for tree, target in enumerate(self.targets()):
            node = np.zeros(len(x), np.int64)
            for _ in range(self.depth):
                right = x[rows, self.features[tree, node]] > self.thresholds[tree, node]
                node = 2 * node + 1 + right
            leaf = self.leaves[tree, node - self.features.shape[1]].astype(np.int64)
            if self.votes:
                scores[rows, leaf[:, 0]] += 1
            elif leaf.shape[1] == self.scores:
                scores += leaf
            else:
                scores[:, target] += leaf[:, 0]
        return scores
