"""Small networks of every family as deploy folders, random and never trained; shared by several test files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo, input_shape
from bitq.data.dataset import InputSpec
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, Forest
from bitq.ir.types import INT8, INT32, TensorType
from bitq.lowering.lower import lower
from bitq.quant.quantizer import Quantizer
from bitq.train.inference import to_float
from tests.networks import ROUND_ONLY, Case, build


class Residual(nn.Module):
    """Two convolutions, the second one around its own input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(3, 6, 3, padding=1), nn.Conv1d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        return self.head(torch.relu(x + self.second(x)).mean(2))


class Recurrent(nn.Module):
    """A GRU over a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru, self.head = nn.Conv1d(3, 4, 5, 2), nn.GRU(4, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(torch.relu(self.conv(x)).transpose(1, 2))[0][:, -1])


def _rounded(model: nn.Module, book: str, shape: tuple[int, ...]) -> Graph:
    torch.manual_seed(3)
    spec = InputSpec(shape, 1 / 64, -3)
    x = np.random.default_rng(3).integers(-128, 128, (200, *shape)).astype(np.int8)
    return lower(Quantizer(model, {"*": book}, ROUND_ONLY).finish(), to_float(x, spec), spec, name="net")


def _case(case: Case) -> Graph:
    rounded, x, spec = build(case)
    return lower(rounded, to_float(x, spec), spec, name="net")


def _forest() -> Graph:
    rng = np.random.default_rng(5)
    forest = Forest(
        name="trees",
        inputs=("input",),
        out=TensorType((3,), INT32, 1.0),
        features=rng.integers(0, 20, (10, 31)).astype(np.uint16),
        thresholds=rng.integers(-100, 100, (10, 31)).astype(np.int16),
        leaves=rng.integers(0, 3, (10, 32, 1)).astype(np.int16),
        votes=True,
    )
    winner = ArgMax(name="winner", inputs=("trees",), out=TensorType((1,), INT32, 1.0))
    return Graph("net", TensorType((20,), INT8, 1.0), (forest, winner), ("trees",), "winner")


FAMILIES = {
    "dense": lambda book: _case(Case((40,), ("fc",), book)),
    "conv": lambda book: _case(Case((3, 24), ("conv", "max", "flat", "fc"), book)),
    "residual": lambda book: _rounded(Residual(), book, (3, 20)),
    "gru": lambda book: _rounded(Recurrent(), book, (3, 30)),
    "forest": lambda book: _forest(),
}
"""Each as a function of its codebook."""


def deliver(folder: Path, family: str, book: str = "bipolar", optimize: str = "size", name: str = "net") -> Path:
    """Write the deploy folder of a family; return it."""
    graph = replace(FAMILIES[family](book), name=name)
    empty = np.zeros((0, *input_shape(graph.input.shape)), np.int8)
    vectors = vectors_of(graph, empty, np.zeros(0, np.int32), at_least=40)
    write_deploy(folder, graph, DeployInfo(), vectors, optimize)
    return folder
