"""A network of one's own for `python -m bitq.run plugin=examples/my_model.py model=mine +experiment=mnist`."""

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
    return nn.Sequential(
        nn.Conv2d(shape[0], config.width, 3, padding="same", bias=False),
        nn.BatchNorm2d(config.width),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(config.width * (shape[1] // 4) * (shape[2] // 4), classes, bias=False),
        nn.BatchNorm1d(classes),
    )


MODELS.register("mine", MineConfig, build)
