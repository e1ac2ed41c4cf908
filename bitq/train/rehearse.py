"""A first look at somebody's network: whether it runs, and gives what its task asks for, before it is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitq.core.errors import ConfigError
from bitq.data.dataset import Dataset
from bitq.train.inference import to_float


def check_scores(model: nn.Module, data: Dataset) -> None:
    """Refuse a network that cannot be run, or gives something else than its task asks for.

    Raises:
        ConfigError: says which.
    """
    y = run_once(model, to_float(data.train.x[:2], data.input))
    wanted, title = (2, data.outputs), type(model).__name__
    if not isinstance(y, Tensor):
        raise ConfigError(
            f"model: {title} gives a {type(y).__name__}; training needs one tensor, (n, {data.outputs})."
        )
    if tuple(y.shape if data.task != "anomaly" else y.flatten(1).shape) != wanted:
        raise ConfigError(f"model: {title} gives {tuple(y.shape)} for 2 rows; {data.task} here needs {wanted}.")


def run_once(model: nn.Module, x: Tensor) -> object:
    """Return what a network gives for real rows ``(n, *shape)``, in inference.

    Raises:
        ConfigError: its code fails.
    """
    try:
        with torch.no_grad():
            return model.eval()(x)
    except Exception as error:  # whatever somebody's code raises
        told = (str(error) or repr(error)).splitlines()[0]
        raise ConfigError(
            f"model: {type(model).__name__} fails on rows of {tuple(x.shape[1:])} ({type(error).__name__}: {told}); "
            "its forward takes one tensor, (n, *shape) of float32."
        ) from error
