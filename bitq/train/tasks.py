"""What each kind of task asks of training and evaluation: loss, targets, and the answer that a metric judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.data.dataset import Dataset
from bitq.train.inference import outputs

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """How one kind of task is learned and judged.

    Attributes:
        loss: of a dataset, from the network's outputs ``(n, k)`` and targets to a scalar.
        targets: from a dataset and its real training inputs to what the loss compares with.
        answers: from a dataset, outputs ``(n, k)`` and real inputs ``(n, *shape)`` to what a metric compares with y.
    """

    loss: Callable[[Dataset], Loss]
    targets: Callable[[Dataset, Tensor], Tensor]
    answers: Callable[[Dataset, Tensor, Tensor], Tensor]


def answers(model: nn.Module, x: NDArray[np.int8], data: Dataset) -> NDArray[Any]:
    """Return a float network's answers to rows of a dataset.

    Classes ``(n,)`` of a classifier, targets ``(n, k)`` in their own units of a regression, errors ``(n,)`` of an
    autoencoder.
    """
    task = TASKS[data.task]
    return outputs(model, x, data.input, lambda y, real: task.answers(data, y, real)).numpy()


def _cross_entropy(data: Dataset) -> Loss:
    return nn.CrossEntropyLoss(weight=torch.tensor(data.class_weights))


def _labels(data: Dataset, x: Tensor) -> Tensor:
    return torch.from_numpy(data.train.y)


def _classes(data: Dataset, y: Tensor, x: Tensor) -> Tensor:
    return y.argmax(dim=1)


def _huber(data: Dataset) -> Loss:
    """Return Huber's loss, for an error counted in standard deviations of the target."""
    return F.smooth_l1_loss


def _standardized(data: Dataset, x: Tensor) -> Tensor:
    return torch.from_numpy((data.train.y - data.target_mean) / data.target_std).float()


def _in_units(data: Dataset, y: Tensor, x: Tensor) -> Tensor:
    return y.double() * torch.from_numpy(data.target_std) + torch.from_numpy(data.target_mean)


def _squared(data: Dataset) -> Loss:
    return lambda y, x: F.mse_loss(y.flatten(1), x)


def _inputs(data: Dataset, x: Tensor) -> Tensor:
    return x.flatten(1)


def _error(data: Dataset, y: Tensor, x: Tensor) -> Tensor:
    return (y.flatten(1) - x.flatten(1)).square().mean(dim=1)


TASKS: dict[str, Task] = {
    "classification": Task(_cross_entropy, _labels, _classes),
    "regression": Task(_huber, _standardized, _in_units),
    "anomaly": Task(_squared, _inputs, _error),
}
"""By the task of a dataset."""
