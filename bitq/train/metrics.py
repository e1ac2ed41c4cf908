"""Metrics of classification, in 0..1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer[Any]]


def accuracy(truth: Labels, predicted: Labels) -> float:
    """Share of rows that are right."""
    return float((truth == predicted).mean())


def balanced_accuracy(truth: Labels, predicted: Labels) -> float:
    """Mean over the classes present of the share of their rows that are right."""
    return float(np.mean([(predicted[truth == c] == c).mean() for c in np.unique(truth)]))


METRICS: dict[str, Callable[[Labels, Labels], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
}
