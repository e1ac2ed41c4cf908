"""Thresholds that name their feature: nodes of 16 bits instead of 24, and what training may choose from for it.

A node compares 16 bits (a feature of 8 bits stands in the high byte). If the low bits of a threshold are the number
of its feature, nothing else need be stored. Such thresholds lie on a lattice, another one for every feature. Training
on features as the lattice tells them apart (`Lattice.coarse`) gives no others; where the low byte has room for the
number, that is on the features as they are. A forest trained elsewhere is brought to the lattice as far as no
training row goes another way (`Lattice.rounded`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.types import INT16, TensorType

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lattice:
    """The thresholds of each feature f: ``n · 2^bits + residue[f]`` for all whole n.

    Attributes:
        bits: 0 where every integer is one.
        residues: int64 ``(features,)``.
    """

    bits: int
    residues: Integers

    def coarse(self, x: Integers) -> Integers:
        """Return features ``(n, features)`` as numbers of the gaps that the lattice leaves, ascending with them."""
        return (x - self.residues - 1) >> self.bits

    def threshold(self, feature: Integers, gap: Integers) -> Integers:
        """Return the threshold that only features coarser than ``gap`` exceed: those in higher gaps."""
        return ((gap + 1) << self.bits) + self.residues[feature]

    def holds(self, feature: Integers, threshold: Integers) -> NDArray[np.bool_]:
        """Whether thresholds lie on the lattice."""
        return (threshold - self.residues[feature]) & ((1 << self.bits) - 1) == 0

    def rounded(self, feature: int, low: int, high: int, threshold: int) -> int:
        """Return the nearest threshold on the lattice within ``low <= t < high``; the given one where there is none.

        Args:
            feature: its number.
            low: the largest training value that goes left.
            high: the smallest one that goes right.
            threshold: what to stay near to.
        """
        step = 1 << self.bits
        below = threshold - (threshold - int(self.residues[feature])) % step
        inside = [t for t in (below, below + step) if low <= t < high]
        return min(inside, key=lambda t: abs(t - threshold), default=threshold)


def lattice_of(x: TensorType) -> Lattice:
    """Return the lattice of trees over a value, by the number of its elements and their bits."""
    free = 0 if x.dtype is INT16 else 8
    bits = max(1, (x.size - 1).bit_length())
    return Lattice(max(0, bits - free), np.arange(x.size) >> free)
