"""Outputs that are no class scores: targets in their units, and the error of a reconstruction."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import bitq
from bitq.core.errors import DeployError
from bitq.experiment import to_chip
from bitq.ir.ops import SquaredError
from bitq.ir.reference import evaluate
from bitq.lowering.heads import in_units, reconstruction_error

RNG = np.random.default_rng(0)


class Own(nn.Module):
    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return self.layers(x)


def network(inputs: int, outputs: int, *, own: bool, norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Flatten(), nn.Linear(inputs, 9), nn.ReLU(), nn.Linear(9, outputs)]
    if norm:
        parts.append(nn.BatchNorm1d(outputs))
        nn.init.uniform_(parts[-1].weight, 0.5, 2.0)
        nn.init.normal_(parts[-1].bias)
    layers = nn.Sequential(*parts)
    return (Own(layers) if own else layers).eval()


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("book", ["int8", "bipolar"])
def test_scores_are_the_target_in_its_units(own, book):
    quantized = bitq.post_training(network(5, 2, own=own), {"*": book})
    rows = RNG.integers(-100, 101, (200, 5)).astype(np.int8)
    x = torch.from_numpy(rows) / 50
    mean, std = np.array([1000.0, -3.0]), np.array([20.0, 500.0])
    with torch.no_grad():
        wanted = quantized.model(x).numpy() * std + mean
    graph = bitq.lower(in_units(quantized, mean, std), x, bitq.InputSpec((5,), 1 / 50, 0), classify=False)
    found = evaluate(graph, rows)
    real = found.scores * graph.types()[graph.outputs[0]].scale
    assert (found.winners == 0).all()
    assert np.abs(real - wanted).max() < 0.02 * 500
    assert np.corrcoef(real[:, 0], wanted[:, 0])[0, 1] > 0.999
    assert [op.layer.removeprefix("net.layers.") for op in graph.ops] == ["1", "3"]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("shape", [(6,), (2, 7), (2, 3, 4), (1, 9)])
def test_the_score_is_the_mean_squared_error_of_the_reconstruction(own, shape):
    size = int(np.prod(shape))
    model = network(size, size, own=own)
    quantized = bitq.post_training(model, {"*": "int8"})
    rows = RNG.integers(-127, 128, (100, *shape)).astype(np.int8)
    x = torch.from_numpy(rows) / 50
    with torch.no_grad():
        made = quantized.model(x).numpy()
    graph = bitq.lower(reconstruction_error(quantized), x, bitq.InputSpec(shape, 1 / 50, 0), classify=False)
    assert isinstance(graph.ops[-1], SquaredError)
    codes = np.clip(np.rint(made * 50), -127, 127) - rows.reshape(100, -1)
    real = evaluate(graph, to_chip(rows)).scores[:, 0] * graph.types()[graph.outputs[0]].scale
    wanted = (codes**2).mean(axis=1) / 50**2
    # One step more or less in every element.
    assert (np.abs(real - wanted) <= (2 * np.abs(codes) + 1).mean(axis=1) / 50**2 * 1.5).all()


def test_the_c_gives_the_same_error(tmp_path):
    quantized = bitq.post_training(network(14, 14, own=False), {"*": "int8"})
    rows = RNG.integers(-127, 128, (50, 2, 7)).astype(np.int8)
    x = torch.from_numpy(rows) / 50
    graph = bitq.lower(reconstruction_error(quantized), x, bitq.InputSpec((2, 7), 1 / 50, 0), classify=False)
    host = bitq.load(bitq.export(graph, tmp_path / "deploy")).predict(to_chip(rows))
    assert np.array_equal(host.scores, evaluate(graph, to_chip(rows)).scores)
    assert np.ptp(host.scores) > 0


def test_a_reconstruction_of_another_size_is_refused():
    quantized = bitq.post_training(network(6, 5, own=False), {"*": "int8"})
    compared = reconstruction_error(quantized)
    compared.model[-1].forward = lambda y, x: y[:, :1]
    with pytest.raises(DeployError, match=r"compares \(5,\) with the input \(6,\)"):
        bitq.lower(compared, torch.randn(9, 6), classify=False)


def test_a_name_that_is_taken_is_no_trouble():
    layers = nn.Sequential(OrderedDict(units=nn.Linear(3, 1)))
    quantized = in_units(bitq.post_training(layers, {"*": "int8"}), np.array([5.0]), np.array([2.0]))
    assert set(quantized.weights) == {"net.units.weight"}
    assert bitq.lower(quantized, torch.randn(20, 3), classify=False).outputs == ("net_units",)
