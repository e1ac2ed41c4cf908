"""Small networks with every layer that can be lowered, rounded without training; shared by several test files."""

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from bitq.data.dataset import InputSpec
from bitq.quant.config import MethodConfig
from bitq.quant.quantizer import QuantizedModel, Quantizer
from bitq.train.inference import reestimate_batch_norm, to_float

ROUND_ONLY = MethodConfig(name="round", regularizer="none", freeze="none", reestimate=0)
STRAIGHT_THROUGH = replace(ROUND_ONLY, name="straight_through", forward="ste")
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


def learn(
    model: nn.Module,
    books: dict[str, str],
    x: torch.Tensor,
    y: torch.Tensor | None,
    steps: int,
    method: MethodConfig = STRAIGHT_THROUGH,
    rate: float = 0.01,
) -> QuantizedModel:
    """Train a little with the weights that the network will have: to tell classes, or without them to give its input.

    What has not learned anything decides some rows by less than a step of its scores.
    """
    rng = np.random.default_rng(0)
    quantizer, optimizer = Quantizer(model, books, method), torch.optim.Adam(model.parameters(), rate)
    quantizer.attach(optimizer, steps)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(steps):
        rows = rng.integers(0, len(x), 100)
        optimizer.zero_grad()
        made = model(x[rows])
        loss = nn.functional.mse_loss(made, x[rows]) if y is None else nn.functional.cross_entropy(made, y[rows])
        loss.backward()
        optimizer.step()
        falling.step()
    rounded = quantizer.finish()
    reestimate_batch_norm(model, x[:1000])
    model.eval()
    return rounded


def draw(case: Case, rows: int, seed: int = 0) -> tuple[np.ndarray, torch.Tensor]:
    """Return integer inputs ``(rows, *shape)`` around one center per class, and their classes."""
    centers = np.random.default_rng(0).integers(-70, 71, (CLASSES, *case.shape))
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, rows)
    x = (centers[y] + rng.normal(0, 40, (rows, *case.shape))).clip(-128, 127).astype(np.int8)
    return x, torch.from_numpy(y)


def build(case: Case, seed: int = 0) -> tuple[QuantizedModel, np.ndarray, InputSpec]:
    """Return a network that has learned a little, integer inputs ``(n, *shape)``, and their encoding."""
    torch.manual_seed(seed)
    spec = InputSpec(case.shape, 1 / 64, case.zero_point)
    x, y = draw(case, 400, seed)
    layers, sample = OrderedDict[str, nn.Module](), torch.zeros(2, *case.shape)
    for index, word in enumerate((*case.body, "head")):
        for name, module in _modules(word, sample, case).items():
            layers[f"{name}{index}"] = module
            sample = module.eval()(sample)
    model = nn.Sequential(layers)
    method = replace(STRAIGHT_THROUGH, scale=case.scale)
    return learn(model, {"*": case.book}, to_float(x, spec), y, 50, method), x, spec


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
    return norm.requires_grad_(False)
