"""Seven networks in plain torch, with nothing of bitq in them, that bitq turns into C.

`tests/property/test_networks.py` quantizes each to 8 bits, to 1 bit and to a mix, and runs the C on the host and on
the emulated core.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor, nn


class Gesture(nn.Module):
    """Convolution, GRU and a head on its last step, for windows ``(batch, 3, 50)`` of an accelerometer."""

    def __init__(self, filters: int = 4, hidden: int = 6, classes: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, filters, 5, 2)
        self.gru = nn.GRU(filters, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        steps, _ = self.gru(F.relu(self.conv(x)).transpose(1, 2))
        return self.head(steps[:, -1])


class DepthwiseSeparable(nn.Module):
    """A convolution per channel, then one across channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.point = nn.Conv2d(width, width, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(width)])

    def forward(self, x: Tensor) -> Tensor:
        """Return values of the same shape."""
        x = F.relu(self.norms[0](self.depth(x)))
        return F.relu(self.norms[1](self.point(x)))


class DsCnn(nn.Module):
    """Depthwise separable convolutions for spoken words, ``(batch, 1, frames, coefficients)``."""

    def __init__(self, width: int = 64, blocks: int = 4, classes: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, (10, 4), 2, padding=(5, 1), bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(*(DepthwiseSeparable(width) for _ in range(blocks)))
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities."""
        x = self.blocks(F.relu(self.norm(self.stem(x))))
        return F.log_softmax(self.head(self.drop(x.mean((2, 3)))), dim=1)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which has a convolution of its own where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))
        self.two = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.side = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return values ``(batch, outputs, height / stride, width / stride)``."""
        return F.relu(self.two(F.relu(self.one(x))) + self.side(x))


class ResNet8(nn.Module):
    """Three residual blocks for small pictures ``(batch, 3, height, width)``."""

    def __init__(self, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(
            ResidualBlock(width, width, 1), ResidualBlock(width, 2 * width, 2), ResidualBlock(2 * width, 4 * width, 2)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.head(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class Autoencoder(nn.Module):
    """A fully connected autoencoder for machine sounds ``(batch, inputs)``."""

    def __init__(self, inputs: int = 640, width: int = 128, code: int = 8) -> None:
        super().__init__()
        widths = [inputs, width, width, code, width, width]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, inputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction."""
        return self.layers(x)


class CausalBlock(nn.Module):
    """Two dilated convolutions that see the past alone, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.past = dilation * (kernel - 1)
        self.one = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)
        self.two = nn.Conv1d(outputs, outputs, kernel, padding=self.past, dilation=dilation)
        self.side = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return values of the same length."""
        y = F.relu(self.one(F.pad(x, (self.past, 0))))
        y = F.relu(self.two(y)[:, :, : -self.past])
        return F.relu(y + self.side(x))


class Tcn(nn.Module):
    """Dilated causal convolutions over a signal ``(batch, channels, time)``."""

    def __init__(self, channels: int = 6, width: int = 16, kernel: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            CausalBlock(channels, width, kernel, 1),
            CausalBlock(width, width, kernel, 2),
            CausalBlock(width, width, kernel, 4),
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores at the last step."""
        return self.head(self.blocks(x)[:, :, -1])


class BidirectionalGru(nn.Module):
    """Two GRU layers in both directions over ``(batch, time, channels)``."""

    def __init__(self, channels: int = 6, hidden: int = 12, classes: int = 4) -> None:
        super().__init__()
        self.rnn = nn.GRU(channels, hidden, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        steps, _ = self.rnn(x)
        return self.head(steps[:, -1])


class Lstm(nn.Module):
    """An LSTM over ``(batch, time, channels)``."""

    def __init__(self, channels: int = 6, hidden: int = 16, classes: int = 4) -> None:
        super().__init__()
        self.rnn = nn.LSTM(channels, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        _, (h, _) = self.rnn(x.permute(1, 0, 2))
        return self.head(h[-1])
