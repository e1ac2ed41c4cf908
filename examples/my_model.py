"""A network of one's own for `python -m bitq.run plugin=examples/my_model.py model=mine +experiment=mnist`."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from bitq.core.fields import number
from bitq.nn.config import MODELS


@dataclass
class MineConfig:
    """What the command line may change, as in ``model.width=24``."""

    name: str = "mine"
    width: int = number(16, 1, 256)


def build(config: MineConfig, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return a small convolutional network for images ``(channels, height, width)``."""
    side = shape[1] // 4 * (shape[2] // 4)
    layers = {
        "conv": nn.Conv2d(shape[0], config.width, 3, padding="same", bias=False),
        "norm": nn.BatchNorm2d(config.width),
        "relu": nn.ReLU(),
        "pool": nn.MaxPool2d(4),
        "flatten": nn.Flatten(),
        "head": nn.Linear(config.width * side, classes, bias=False),
        "norm_head": nn.BatchNorm1d(classes),
    }
    return nn.Sequential(OrderedDict(layers))


MODELS.register("mine", MineConfig, build)
