"""The networks of `examples/networks.py`, trained a little: exact on the host and on the emulated core.

Their integers decide unseen rows as torch does with the same weights; how often is printed by
``python -m pytest -m long -s tests/property/test_networks.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import bitq
from bitq.config import named_method
from bitq.device import emulator
from bitq.device.config import TargetConfig
from bitq.device.host import HostModel
from bitq.device.verify import verify
from bitq.ir.reference import evaluate
from bitq.sim import simulate
from examples import networks
from tests.networks import learn
from tests.property import tasks


@dataclass(frozen=True)
class Example:
    """A network as large as it is used and a small one, each with the shape of its input as torch has it.

    Attributes:
        full, shape, small, small_shape: the two.
        time: which axis of the shape is time, None if there is none.
        hybrid: what a mix of codebooks changes about 1 bit everywhere.
        steps: of the full network's training.
        alike: least share of unseen rows whose largest score is torch's, or least correlation of reconstructions.
    """

    full: Callable[[], nn.Module]
    shape: tuple[int, ...]
    small: Callable[[], nn.Module]
    small_shape: tuple[int, ...]
    time: int | None
    hybrid: dict[str, str]
    steps: int
    alike: float = 0.99


GRU = {"*weight_hh*": "odd4", "head.weight": "int8"}
ENDS = {"stem*": "int8", "head*": "int8"}
NETWORKS = {
    "gesture": Example(networks.Gesture, (3, 50), networks.Gesture, (3, 50), 1, GRU, 600, 0.98),
    "ds_cnn": Example(
        networks.DsCnn,
        (1, 49, 10),
        lambda: networks.DsCnn(8, 2, 5),
        (1, 20, 10),
        None,
        {**ENDS, "*point*": "odd2"},
        300,
    ),
    "resnet8": Example(
        networks.ResNet8,
        (3, 32, 32),
        lambda: networks.ResNet8(4, 5),
        (3, 8, 8),
        None,
        {**ENDS, "*two*": "ternary"},
        200,
    ),
    "autoencoder": Example(
        networks.Autoencoder,
        (640,),
        lambda: networks.Autoencoder(40, 24, 4),
        (40,),
        None,
        {"layers.15*": "int8"},
        600,
    ),
    "tcn": Example(
        networks.Tcn,
        (6, 50),
        lambda: networks.Tcn(6, 8),
        (6, 20),
        1,
        {"*two*": "odd3", "head*": "int8"},
        1500,
    ),
    "bidirectional_gru": Example(
        networks.BidirectionalGru, (50, 6), networks.BidirectionalGru, (12, 6), 0, GRU, 500, 0.98
    ),
    "lstm": Example(networks.Lstm, (50, 6), networks.Lstm, (20, 6), 0, GRU, 500, 0.98),
}
POLICIES = ("int8", "bipolar", "hybrid")


def assert_exact(name: str, policy: str, folder: Path, *, full: bool) -> None:
    """Hold simulation, host and core against the reference on unseen rows, and its decisions against torch's."""
    torch.manual_seed(0)
    example, anomaly = NETWORKS[name], name == "autoencoder"
    model, shape = (example.full(), example.shape) if full else (example.small(), example.small_shape)
    classes = model.eval()(torch.zeros(1, *shape)).shape[1]
    task = tasks.task(name, shape, example.time, classes) if full else tasks.generated(shape, example.time, classes)
    books = {"*": "bipolar", **example.hybrid} if policy == "hybrid" else {"*": policy}
    steps, rate = (example.steps, 0.005) if full else (200, 0.01)
    rounded = learn(model, books, task.x, None if anomaly else task.y, steps, named_method("ste_msqe"), rate)
    graph = bitq.lower(rounded, task.x[:1000], classify=not anomaly)
    codes = (task.unseen / graph.input.scale).round().clip(-128, 127)
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
        truth = model(codes * graph.input.scale).numpy()
    if anomaly:
        alike = np.corrcoef(expected.scores.ravel(), truth.ravel())[0, 1]
    else:
        decided = truth.argmax(axis=1)
        assert np.bincount(decided).max() < 0.9 * len(decided)  # or else there is nothing to agree on
        alike = (expected.winners == decided).mean()
    print(f"{name} {policy} ({task.source}): {alike:.1%} alike")
    assert alike >= example.alike


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_in_small(name, policy, tmp_path):
    assert_exact(name, policy, tmp_path / "deploy", full=False)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_in_full(name, policy, tmp_path):
    assert_exact(name, policy, tmp_path / "deploy", full=True)
