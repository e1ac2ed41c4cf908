"""One module alone between the chip's input and a dense head, against torch on the same integers."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitq.data.dataset import InputSpec
from bitq.ir.graph import Graph
from bitq.ir.ops import Linear
from bitq.ir.reference import evaluate, values
from bitq.lowering.lower import lower
from bitq.quant.quantizer import Quantizer
from bitq.sim.simulate import evaluate as simulated
from tests.networks import ROUND_ONLY

ROWS = 300


class Call(nn.Module):
    """A function as a module that is traced into."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def inputs(shape: tuple[int, ...], spec: InputSpec, seed: int = 0) -> tuple[NDArray[np.int8], torch.Tensor]:
    """Return integers ``(n, *shape)`` with every corner, and what they stand for."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (ROWS, *shape)).astype(np.int8)
    x[:256] = np.where(rng.random(x[:256].shape) < 0.5, np.arange(-128, 128).reshape(-1, *[1] * len(shape)), x[:256])
    return x, (torch.from_numpy(x).float() - spec.zero_point) * spec.scale


def lowered(
    module: nn.Module, shape: tuple[int, ...], *, scale: float = 1 / 20, zero_point: int = -3, book: str = "int8"
) -> tuple[Graph, NDArray[np.int8], torch.Tensor, nn.Module]:
    """Return the graph of a module with a head behind it, its input as integers and real, and the model."""
    torch.manual_seed(0)
    module = copy.deepcopy(module).eval()
    spec = InputSpec(shape, scale, zero_point)
    x, real = inputs(shape, spec)
    shape = module(real[:2]).shape[1:]
    # A head that reads the value as it is stored.
    head = HEADS[len(shape)](shape[0], 3, bias=False)
    model = nn.Sequential(OrderedDict(alone=module, head=head)).eval()
    graph = lower(Quantizer(model, {"*": book}, ROUND_ONLY).finish(), real, spec)
    chip = np.moveaxis(x, 1, -1) if x.ndim > 2 else x
    expected, got = evaluate(graph, chip), simulated(graph, chip)
    np.testing.assert_array_equal(got.scores, expected.scores)
    return graph, chip, real, model


def _pointwise(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    return lambda width, channels, bias: kind(width, channels, 1, bias=bias)


HEADS = {1: nn.Linear, 2: _pointwise(nn.Conv1d), 3: _pointwise(nn.Conv2d)}


def steps_apart(
    module: nn.Module, shape: tuple[int, ...], *, scale: float = 1 / 20, zero_point: int = -3, book: str = "int8"
) -> float:
    """Return how far, in steps, a module's integers lie from torch's rounded result on the same input."""
    graph, chip, real, model = lowered(module, shape, scale=scale, zero_point=zero_point, book=book)
    head = next(op for op in graph.ops if isinstance(op, Linear) and op.layer == "head")
    kind, got = graph.types()[head.inputs[0]], values(graph, chip)[head.inputs[0]].reshape(len(chip), -1)
    with torch.no_grad():
        result = model.alone.double()(real.double())
    result = result.movedim(1, -1).flatten(1).numpy()
    steps = np.clip(np.rint(result / kind.scale) + kind.zero_point, kind.dtype.low, kind.dtype.high)
    return float(np.abs(steps - got).max())


def assert_moves(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    """Hold a module that computes nothing against torch: the scores behind it are rounded once."""
    graph, chip, real, model = lowered(module, shape)
    scale = graph.types()[graph.outputs[0]].scale
    with torch.no_grad():
        expected = model.double()(real.double()).movedim(1, -1).flatten(1).numpy()
    np.testing.assert_allclose(evaluate(graph, chip).scores * scale, expected, rtol=0, atol=2 * scale)
    return graph
