"""Recurrent network for gestures in sensor windows: a strided convolution, a GRU, a head on the last step."""

from __future__ import annotations

from torch import Tensor, nn

from bitq.core.errors import ConfigError
from bitq.nn.config import GestureConfig


class Gesture(nn.Module):
    """Convolution → ReLU → GRU → dense.

    Args:
        channels: of the input.
        filters: channels of the convolution.
        kernel: of the convolution, in samples.
        stride: of the convolution, in samples.
        hidden: units of the GRU.
        classes: scores.
    """

    def __init__(self, channels: int, filters: int, kernel: int, stride: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, filters, kernel, stride)
        self.relu = nn.ReLU()
        self.gru = nn.GRU(filters, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(batch, classes)`` for windows ``(batch, channels, time)``."""
        x = self.relu(self.conv(x))
        steps, _ = self.gru(x.transpose(1, 2))
        return self.head(steps[:, -1])


def build(config: GestureConfig, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the network for windows ``(channels, time)``.

    With three channels, two classes and the default widths it has 252 weights.

    Raises:
        ConfigError: the input is not a sequence, or shorter than the kernel.
    """
    if len(shape) != 2:
        raise ConfigError(f"model gesture reads windows (channels, time), the data gives {shape}; try model=mlp.")
    if shape[1] < config.kernel:
        raise ConfigError(f"model gesture: {shape[1]} samples are too few; lower model.kernel.")
    filters, hidden = config.width * config.channels, config.width * config.hidden
    return Gesture(shape[0], filters, config.kernel, config.stride, hidden, classes)
