"""Small networks with every layer that can be lowered, rounded without training; shared by several test files."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bitq.data.dataset import InputSpec
from bitq.quant.config import MethodConfig
from bitq.quant.quantizer import QuantizedModel, Quantizer
from bitq.train.inference import reestimate_batch_norm, to_float

ROUND_ONLY = MethodConfig(name="round", regularizer="none", freeze="none", reestimate=0)
CLASSES = 4
GAINS = {
    "plain": (1.0, 0.7, 1.3),
    "negative": (1.0, -0.5, -2.0),
    "tiny": (1.0, 1e-3, 1e-5),
    "dead": (0.8, 0.0, -1e-9),
}
"""Batch-norm gains by name; channels take them in turn."""


@dataclass(frozen=True)
class Case:
    """One network as text, for the test's id, and as modules."""

    shape: tuple[int, ...]
    body: tuple[str, ...]
    book: str = "bipolar"
    gains: str = "plain"
    scale: str = "tensor"
    head: str = "plain"
    zero_point: int = -3

    def __str__(self) -> str:
        return f"{len(self.shape)}d-{'-'.join(self.body)}-{self.head}-{self.book}-{self.scale}-{self.gains}"


def build(case: Case, seed: int = 0) -> tuple[QuantizedModel, np.ndarray, InputSpec]:
    """Return the rounded network, integer inputs ``(n, *shape)``, and their encoding."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    spec = InputSpec(case.shape, 1 / 64, case.zero_point)
    x = rng.integers(-128, 128, (400, *case.shape)).astype(np.int8)
    layers, sample = OrderedDict[str, nn.Module](), torch.zeros(2, *case.shape)
    for index, word in enumerate((*case.body, "head")):
        for name, module in _modules(word, sample, case).items():
            layers[f"{name}{index}"] = module
            sample = module.eval()(sample)
    model = nn.Sequential(layers)
    method = MethodConfig(**{**ROUND_ONLY.__dict__, "scale": case.scale})
    rounded = Quantizer(model, {"*": case.book}, method).finish()
    reestimate_batch_norm(model, to_float(x, spec))
    return rounded, x, spec


def _modules(word: str, sample: torch.Tensor, case: Case) -> dict[str, nn.Module]:
    two = sample.dim() == 4
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if two else (nn.Conv1d, nn.BatchNorm1d)
    width = sample.shape[1]
    match word:
        case "conv":
            return {"conv": conv(width, 5, 3, bias=False), "norm": _gains(norm(5), case), "relu": nn.ReLU()}
        case "strided":
            return {"conv": conv(width, 6, 3, stride=2, padding=1), "relu": nn.ReLU()}
        case "same":  # an even kernel pads one more at the end
            return {"conv": conv(width, 4, 4, padding="same", bias=False), "norm": _gains(norm(4), case)}
        case "bias":
            return {"conv": conv(width, 5, 3), "norm": _gains(norm(5), case), "relu": nn.ReLU()}
        case "depth":
            return {
                "conv": conv(width, width, 3, padding=1, groups=width, bias=False),
                "norm": _gains(norm(width), case),
                "relu": nn.ReLU(),
            }
        case "point":
            return {"conv": conv(width, 8, 1), "relu": nn.ReLU()}
        case "groups":
            return {"conv": conv(width, 6, 3, stride=2, groups=2), "norm": _gains(norm(6), case), "relu": nn.ReLU()}
        case "dilated":
            return {"conv": conv(width, 4, 3, dilation=2, padding="same"), "relu": nn.ReLU()}
        case "max":
            return {"max": (nn.MaxPool2d if two else nn.MaxPool1d)(2)}
        case "maxpad":
            return {"max": (nn.MaxPool2d if two else nn.MaxPool1d)(3, stride=2, padding=1)}
        case "avg":
            return {"avg": (nn.AvgPool2d if two else nn.AvgPool1d)(2)}
        case "mean":
            return {"mean": (nn.AdaptiveAvgPool2d if two else nn.AdaptiveAvgPool1d)(1)}
        case "flat":
            return {"flat": nn.Flatten()}
        case "fc":
            return {
                "fc": nn.Linear(width, 12, bias=False),
                "norm": _gains(nn.BatchNorm1d(12), case),
                "drop": nn.Dropout(),
                "relu": nn.ReLU(),
            }
        case "head" if case.head == "norm":
            return {"head": nn.Linear(width, CLASSES, bias=False), "norm": _gains(nn.BatchNorm1d(CLASSES), case)}
        case "head":
            return {"head": nn.Linear(width, CLASSES, bias=case.head == "plain")}
        case _:
            raise ValueError(word)


def _gains(norm: nn.Module, case: Case) -> nn.Module:
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([GAINS[case.gains][i % 3] for i in range(len(norm.weight))]))
        norm.bias.copy_(torch.randn(len(norm.bias)))
    return norm
