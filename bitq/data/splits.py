"""Rules that divide rows and people into train, val and test, and weigh classes; all of them reproducible.

People are divided, never their windows: a network must be judged on wearers that it has not met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError

PATTERN = ("train", "val", "test", "train", "train")


def deal_subjects(events: Mapping[str, int]) -> dict[str, str]:
    """Assign each person of one corpus to a split.

    People are ordered by (number of events descending, name) and dealt in the repeating pattern train, val,
    test, train, train: no seed, so a person never changes sides, and every split gets people with many events.

    Args:
        events: number of positive events per person.
    """
    ordered = sorted(events, key=lambda subject: (-events[subject], subject))
    return {subject: PATTERN[place % len(PATTERN)] for place, subject in enumerate(ordered)}


def check_disjoint(parts: Mapping[str, Iterable[str]]) -> None:
    """Refuse a person who is in two splits.

    Args:
        parts: the people of each split.

    Raises:
        DataError: names the first person found twice.
    """
    owner: dict[str, str] = {}
    for part, subjects in parts.items():
        for subject in set(subjects):
            if owner.setdefault(subject, part) != part:
                raise DataError(f"leak: subject {subject} is in both {owner[subject]} and {part}.")


def stratified_subset(y: NDArray[np.integer[Any]], limit: int, seed: int) -> NDArray[np.int64]:
    """Return sorted indices of at most ``limit`` rows, every class in its share, the choice seeded."""
    if limit >= len(y):
        return np.arange(len(y))
    shuffled = np.random.default_rng(seed).permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    return np.sort(by_class[np.floor((np.arange(limit) + 0.5) * len(y) / limit).astype(np.int64)])


def even_quota(available: Sequence[int], total: int) -> list[int]:
    """Share ``total`` as evenly as the available amounts allow; what one cannot give, the others do."""
    quota = [0] * len(available)
    left = min(total, sum(available))
    order = sorted(range(len(available)), key=lambda index: available[index])
    for place, index in enumerate(order):
        quota[index] = min(available[index], left // (len(order) - place))
        left -= quota[index]
    return quota


def balanced_weights(y: NDArray[np.int64], classes: int) -> tuple[float, ...]:
    """Return rows / (classes · rows of the class) per class, so that every class weighs the same in total."""
    counts = np.bincount(y, minlength=classes)
    return tuple(float(len(y) / (classes * max(1, count))) for count in counts)
