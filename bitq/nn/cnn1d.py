"""One-dimensional convolutional network for sensor windows."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from bitq.core.errors import ConfigError
from bitq.nn.config import Cnn1dConfig


def build(config: Cnn1dConfig, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return [convolution, batch norm, ReLU, max pool]* → mean over time → dense, for ``(batch, channels, time)``.

    The last convolution is not pooled.

    Raises:
        ConfigError: the input is not a sequence, or too short.
    """
    if len(shape) != 2:
        raise ConfigError(f"model cnn1d reads windows (channels, time), the data gives {shape}; try model=mlp.")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    width, time = shape
    for index, channels in enumerate(config.channels, 1):
        layers[f"conv{index}"] = nn.Conv1d(width, channels, config.kernel, bias=False)
        layers[f"norm{index}"] = nn.BatchNorm1d(channels)
        layers[f"relu{index}"] = nn.ReLU()
        time = time - config.kernel + 1
        if index < len(config.channels) and config.pool > 1:
            layers[f"pool{index}"] = nn.MaxPool1d(config.pool)
            time //= config.pool
        width = channels
        if time < 1:
            raise ConfigError(f"model cnn1d: {shape[1]} samples are too few; lower model.kernel or model.pool.")
    layers["mean"] = nn.AdaptiveAvgPool1d(1)
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(width, classes, bias=False)
    layers["norm_head"] = nn.BatchNorm1d(classes)
    return nn.Sequential(layers)
