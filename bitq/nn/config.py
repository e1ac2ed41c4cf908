"""The configs of the networks and the registry that joins them to their code, without loading torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from bitq.core.errors import ConfigError
from bitq.core.fields import number
from bitq.core.registry import Registry


@dataclass
class MlpConfig:
    """A multilayer perceptron: dense layers with batch norm and ReLU."""

    name: str = "mlp"
    hidden: list[int] = field(default_factory=lambda: [64])

    def check(self, path: str) -> None:
        """Refuse widths that are no width."""
        check_widths(f"{path}.hidden", self.hidden)


@dataclass
class LenetConfig:
    """A LeNet-class image network: two strided 5×5 convolutions and two dense layers."""

    name: str = "lenet"
    channels: list[int] = field(default_factory=lambda: [8, 16])
    kernel: int = number(5, 1, 15)
    stride: int = number(2, 1, 4)
    hidden: int = number(32, 1, 4096)

    def check(self, path: str) -> None:
        """Refuse widths that are no width."""
        check_widths(f"{path}.channels", self.channels)


@dataclass
class Cnn1dConfig:
    """A one-dimensional network for sensor windows: convolutions with max pooling, an average over time, a head."""

    name: str = "cnn1d"
    channels: list[int] = field(default_factory=lambda: [16, 32])
    kernel: int = number(5, 1, 63)
    pool: int = number(2, 1, 16)

    def check(self, path: str) -> None:
        """Refuse widths that are no width."""
        check_widths(f"{path}.channels", self.channels)


@dataclass
class Cnn2dConfig:
    """A small image network: padded convolutions, each halved by max pooling, and a dense head.

    Attributes:
        channels: of the convolutions.
        last: channels of one more convolution without padding and pooling; 0 leaves it out.
    """

    name: str = "cnn2d"
    channels: list[int] = field(default_factory=lambda: [12, 20, 32])
    kernel: int = number(3, 1, 15)
    last: int = number(0, 0, 4096)

    def check(self, path: str) -> None:
        """Refuse widths that are no width."""
        check_widths(f"{path}.channels", self.channels)


@dataclass
class GestureConfig:
    """A recurrent network for sensor windows: a strided convolution, a GRU, and a head on its last step.

    Attributes:
        channels: of the convolution.
        hidden: units of the GRU.
        width: factor on both, to make the network wider as a whole.
    """

    name: str = "gesture"
    channels: int = number(4, 1, 4096)
    kernel: int = number(5, 1, 63, "samples")
    stride: int = number(2, 1, 16, "samples")
    hidden: int = number(6, 1, 4096)
    width: int = number(1, 1, 64)


@dataclass
class OnnxConfig:
    """The network of an ONNX file: a float one is where every training begins, a quantized one is taken as it is.

    Attributes:
        path: the file; a relative path starts at the working folder.
    """

    name: str = "onnx"
    path: str = ""


def check_widths(key: str, widths: list[int]) -> None:
    """Refuse an empty list and widths outside 1..4096."""
    if not widths or not all(1 <= width <= 4096 for width in widths):
        raise ConfigError(f"{key}: each width must be 1 to 4096 and there must be one, got {list(widths)}.")


MODELS: Registry[object] = Registry("model")
MODELS.register("mlp", MlpConfig, "bitq.nn.mlp:build")
MODELS.register("lenet", LenetConfig, "bitq.nn.lenet:build")
MODELS.register("cnn1d", Cnn1dConfig, "bitq.nn.cnn1d:build")
MODELS.register("cnn2d", Cnn2dConfig, "bitq.nn.cnn2d:build")
MODELS.register("gesture", GestureConfig, "bitq.nn.gesture:build")
