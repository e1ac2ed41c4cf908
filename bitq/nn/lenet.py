"""LeNet-class convolutional network for small images."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from bitq.core.errors import ConfigError
from bitq.nn.config import LenetConfig


def build(config: LenetConfig, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return [strided convolution, batch norm, ReLU]* → dense → dense, for inputs ``(batch, channels, h, w)``.

    With 28×28 images and the default widths it has 11,912 weights.

    Raises:
        ConfigError: the input is not an image, or too small for the kernels.
    """
    if len(shape) != 3:
        raise ConfigError(
            f"model lenet reads images (channels, height, width), the data gives {shape}; try model=mlp."
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    width, (height, length) = shape[0], shape[1:]
    for index, channels in enumerate(config.channels, 1):
        layers[f"conv{index}"] = nn.Conv2d(width, channels, config.kernel, config.stride, bias=False)
        layers[f"norm{index}"] = nn.BatchNorm2d(channels)
        layers[f"relu{index}"] = nn.ReLU()
        height, length = ((side - config.kernel) // config.stride + 1 for side in (height, length))
        width = channels
        if min(height, length) < 1:
            raise ConfigError(
                f"model lenet: an image of {shape[1]}×{shape[2]} is too small; lower model.kernel or stride."
            )
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(width * height * length, config.hidden, bias=False)
    layers["norm_fc1"] = nn.BatchNorm1d(config.hidden)
    layers["relu_fc1"] = nn.ReLU()
    layers["head"] = nn.Linear(config.hidden, classes, bias=False)
    layers["norm_head"] = nn.BatchNorm1d(classes)
    return nn.Sequential(layers)
