"""Columns of signs taken some at a time, so that each input is loaded and added once for all of them.

Within a group every input belongs to one bucket, that of the signs that its weights have in these columns. A bucket
is summed up once and then added to, or taken from, each column. So four outputs cost little more than one load and
one addition per input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.types import TERNARY, Weights

MOST_COLUMNS = 4
"""Columns of a group; more would leave most buckets with one input, or with none."""

Signs = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Group:
    """Some columns of one place.

    Attributes:
        first: number of the first output.
        planes: columns of one output, lowest first; plane p counts 2^p.
        signs: -1, 0 or 1 of each column and input, ``(columns, inputs)``.
    """

    first: int
    planes: int
    signs: Signs

    @property
    def buckets(self) -> list[tuple[Signs, NDArray[np.int64], NDArray[np.int64]]]:
        """Each pattern of signs, with the inputs that have it and those that have its opposite."""
        found: dict[bytes, tuple[Signs, list[int], list[int]]] = {}
        for place, pattern in enumerate(self.signs.T):
            used = pattern[pattern != 0]
            if len(used) == 0:
                continue
            key = np.ascontiguousarray(pattern * used[0])
            _, plus, minus = found.setdefault(key.tobytes(), (key, [], []))
            (plus if used[0] > 0 else minus).append(place)
        return [(key, np.array(plus, np.int64), np.array(minus, np.int64)) for key, plus, minus in found.values()]

    @property
    def operations(self) -> int:
        """Loads and additions that it takes."""
        inputs = int((self.signs != 0).any(axis=0).sum())
        merges = sum(int((pattern != 0).sum()) for pattern, _, _ in self.buckets)
        return 2 * inputs - len(self.buckets) + merges


def groups_of(weights: Weights) -> list[Group]:
    """Split the outputs of a layer into groups, as wide as takes the fewest operations."""
    planes, signs = columns_of(weights)
    choices: list[list[Group]] = []
    for width in range(1, MOST_COLUMNS + 1):
        if width % planes == 0:
            cuts = range(0, len(signs), width)
            choices.append([Group(cut // planes, planes, signs[cut : cut + width]) for cut in cuts])
    return min(choices, key=lambda groups: sum(group.operations for group in groups))


def columns_of(weights: Weights) -> tuple[int, Signs]:
    """Return the columns of one output, and the signs of all columns, ``(columns, inputs)``."""
    matrix = weights.matrix
    if weights.dtype is TERNARY:
        return 1, matrix.astype(np.int8)
    planes = weights.dtype.bits
    fields = (matrix + weights.dtype.high) >> 1
    signs = [2 * (fields >> plane & 1) - 1 for plane in range(planes)]
    return planes, np.stack(signs, axis=1).reshape(-1, matrix.shape[1]).astype(np.int8)
