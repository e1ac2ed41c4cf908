"""Multilayer perceptron."""

from __future__ import annotations

from collections import OrderedDict
from math import prod

from torch import nn

from bitq.nn.config import MlpConfig


def build(config: MlpConfig, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return flatten → [dense, batch norm, ReLU]* → dense → batch norm, for inputs ``(batch, *shape)``.

    The batch norm behind the head gives the scores of 1-bit weights a learned scale.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    width = prod(shape)
    for index, hidden in enumerate(config.hidden, 1):
        layers[f"fc{index}"] = nn.Linear(width, hidden, bias=False)
        layers[f"norm{index}"] = nn.BatchNorm1d(hidden)
        layers[f"relu{index}"] = nn.ReLU()
        width = hidden
    layers["head"] = nn.Linear(width, classes, bias=False)
    layers["norm_head"] = nn.BatchNorm1d(classes)
    return nn.Sequential(layers)
