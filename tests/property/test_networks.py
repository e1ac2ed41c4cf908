"""The networks of `examples/networks.py`, most without training: exact on the host and on the emulated core."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bitq
from bitq.device import emulator
from bitq.device.config import TargetConfig
from bitq.device.host import HostModel
from bitq.device.verify import verify
from bitq.ir.reference import evaluate
from bitq.quant.quantizer import QuantizedModel, Quantizer
from bitq.sim import simulate
from bitq.train.inference import reestimate_batch_norm
from examples import networks
from tests.networks import ROUND_ONLY


@dataclass(frozen=True)
class Example:
    """A network as large as it is used and a small one, each with the shape of its input as torch has it.

    Attributes:
        full, shape, small, small_shape: the two.
        time: which axis of the shape is time, None if there is none.
        hybrid: what a mix of codebooks changes about 1 bit everywhere.
        alike: in small, least share of rows whose largest score is torch's, or least correlation of reconstructions.
        steps: of training; what has not learned anything decides some rows by next to nothing.
    """

    full: Callable[[], nn.Module]
    shape: tuple[int, ...]
    small: Callable[[], nn.Module]
    small_shape: tuple[int, ...]
    time: int | None
    hybrid: dict[str, str]
    alike: float = 0.99
    steps: int = 0


GRU = {"*weight_hh*": "odd4", "head.weight": "int8"}
ENDS = {"stem*": "int8", "head*": "int8"}
NETWORKS = {
    "gesture": Example(networks.Gesture, (3, 50), networks.Gesture, (3, 50), 1, GRU, 0.98),
    "ds_cnn": Example(
        networks.DsCnn, (1, 49, 10), lambda: networks.DsCnn(8, 2, 5), (1, 20, 10), None, {**ENDS, "*point*": "odd2"}
    ),
    "resnet8": Example(
        networks.ResNet8,
        (3, 32, 32),
        lambda: networks.ResNet8(4, 5),
        (3, 8, 8),
        None,
        {**ENDS, "*two*": "ternary"},
        steps=60,
    ),
    "autoencoder": Example(
        networks.Autoencoder, (640,), lambda: networks.Autoencoder(40, 24, 4), (40,), None, {"layers.15*": "int8"}
    ),
    "tcn": Example(networks.Tcn, (6, 50), lambda: networks.Tcn(6, 8), (6, 20), 1, {"*two*": "odd3", "head*": "int8"}),
    "bidirectional_gru": Example(
        networks.BidirectionalGru, (50, 6), networks.BidirectionalGru, (12, 6), 0, GRU, 0.98
    ),
    "lstm": Example(networks.Lstm, (50, 6), networks.Lstm, (20, 6), 0, GRU, 0.98),
}
POLICIES = ("int8", "bipolar", "hybrid")


def signals(shape: tuple[int, ...], time: int | None, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return smooth signals along time, or sums of six patterns, within ±4 in steps of 1/32; and the main pattern."""
    rng = np.random.default_rng(0)
    shares = rng.normal(0, 1, (rows, 6))
    if time is not None:
        x = rng.normal(0, 12, (rows, *shape)).cumsum(axis=time + 1)
    else:
        x = 40 * np.tensordot(shares, rng.normal(0, 1, (6, *shape)), 1) / 6**0.5
    real = torch.from_numpy(x.clip(-127, 127).round()).float() / 32
    return real, torch.from_numpy(shares[:, :5].argmax(axis=1))


def learned(model: nn.Module, books: dict[str, str], x: torch.Tensor, y: torch.Tensor, steps: int) -> QuantizedModel:
    """Return a classifier that learned a little with the weights that it will have."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    quantizer = bitq.quantize(model, books, optimizer, steps)
    for step in range(steps):
        rows = slice(step % 10 * 100, step % 10 * 100 + 100)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return quantizer.finish()


def assert_exact(name: str, policy: str, folder: Path, *, full: bool) -> float:
    """Hold simulation, host and core against the reference; return how alike torch decides."""
    torch.manual_seed(0)
    example = NETWORKS[name]
    model, shape = (example.full(), example.shape) if full else (example.small(), example.small_shape)
    x, y = signals(shape, example.time, 1000)
    books = {"*": "bipolar", **example.hybrid} if policy == "hybrid" else {"*": policy}
    if example.steps:
        rounded = learned(model, books, x, y, example.steps)
    else:
        rounded = Quantizer(model, books, ROUND_ONLY).finish()
    reestimate_batch_norm(model, x)
    graph = bitq.lower(rounded, x, classify=name != "autoencoder")
    codes = (x / graph.input.scale).round().clip(-128, 127)
    rows = (codes if example.time == 0 else codes.movedim(1, -1)).numpy().astype(np.int8)
    expected = evaluate(graph, rows)
    compiled = HostModel(bitq.export(graph, folder)).predict(rows)
    for got in (simulate.evaluate(graph, rows), compiled):
        np.testing.assert_array_equal(got.scores, expected.scores)
        np.testing.assert_array_equal(got.winners, expected.winners)
    if emulator.is_installed():
        samples = 100 if full else 10
        target = TargetConfig(compiler="zig", samples=samples, optimize="size")
        measured = verify(folder, target, rows, expected.scores, expected.winners)
        assert measured.passed, measured.verdict
        assert measured.samples_checked == samples
    with torch.no_grad():
        truth = model.eval()(codes * graph.input.scale).numpy()
    alike = (expected.scores.argmax(axis=1) == truth.argmax(axis=1)).mean()
    if name == "autoencoder":
        alike = np.corrcoef(expected.scores.ravel(), truth.ravel())[0, 1]
    print(f"{name} {policy}: {alike:.1%} alike")
    return float(alike)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_in_small(name, policy, tmp_path):
    assert assert_exact(name, policy, tmp_path / "deploy", full=False) >= NETWORKS[name].alike


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_in_full(name, policy, tmp_path):
    assert_exact(name, policy, tmp_path / "deploy", full=True)
