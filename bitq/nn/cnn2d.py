"""Small convolutional network with pooling, for images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from bitq.core.errors import ConfigError
from bitq.nn.config import Cnn2dConfig


def build(config: Cnn2dConfig, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return [convolution, batch norm, ReLU, 2×2 max pool]* → [convolution]? → dense, for ``(batch, c, h, w)``.

    With 24×24 images the default widths make 10,908 weights.

    Raises:
        ConfigError: the input is not an image, or too small.
    """
    if len(shape) != 3:
        raise ConfigError(
            f"model cnn2d reads images (channels, height, width), the data gives {shape}; try model=mlp."
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    width, height, length = shape
    for index, channels in enumerate(config.channels, 1):
        layers[f"conv{index}"] = nn.Conv2d(width, channels, config.kernel, padding="same", bias=False)
        layers[f"norm{index}"] = nn.BatchNorm2d(channels)
        layers[f"relu{index}"] = nn.ReLU()
        layers[f"pool{index}"] = nn.MaxPool2d(2)
        width, height, length = channels, height // 2, length // 2
    if config.last:
        layers["conv_last"] = nn.Conv2d(width, config.last, config.kernel, bias=False)
        layers["norm_last"] = nn.BatchNorm2d(config.last)
        layers["relu_last"] = nn.ReLU()
        width, height, length = config.last, height - config.kernel + 1, length - config.kernel + 1
    if min(height, length) < 1:
        raise ConfigError(
            f"model cnn2d: an image of {shape[1]}×{shape[2]} is too small; lower model.kernel or model.channels."
        )
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(width * height * length, classes, bias=False)
    layers["norm_head"] = nn.BatchNorm1d(classes)
    return nn.Sequential(layers)
