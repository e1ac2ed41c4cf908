"""Metrics of all tasks; `bitq.core.metrics` says which way each is better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Answers = NDArray[Any]


def accuracy(truth: Answers, predicted: Answers) -> float:
    """Share of rows that are right."""
    return float((truth == predicted).mean())


def balanced_accuracy(truth: Answers, predicted: Answers) -> float:
    """Mean over the classes present of the share of their rows that are right."""
    return float(np.mean([(predicted[truth == c] == c).mean() for c in np.unique(truth)]))


def mae(truth: Answers, predicted: Answers) -> float:
    """Mean absolute error over all rows and targets, in their units; less is better."""
    return float(np.abs(truth.astype(np.float64) - predicted).mean())


def auc(truth: Answers, predicted: Answers) -> float:
    """Area under the receiver operating characteristic, of scores against labels 0 and 1.

    The share of pairs of one row of each label in which the row labelled 1 has the higher score; a tie counts half
    (Mann and Whitney's U, divided by the number of pairs).
    """
    ordered = np.sort(predicted)
    ranks = (np.searchsorted(ordered, predicted, "left") + np.searchsorted(ordered, predicted, "right") + 1) / 2
    positive = truth == 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


METRICS: dict[str, Callable[[Answers, Answers], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "mae": mae,
    "auc": auc,
}
