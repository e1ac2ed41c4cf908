"""Recurrent networks in plain torch, lowered without training: exact on the host and on the emulated core."""

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
from bitq.nn.config import GestureConfig
from bitq.nn.gesture import build
from bitq.quant.quantizer import Quantizer
from bitq.sim import simulate
from tests.networks import ROUND_ONLY


class Bidirectional(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 12, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
        self.head = nn.Linear(24, 4)

    def forward(self, x):
        steps, _ = self.rnn(x)
        return self.head(steps[:, -1])


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        _, (h, _) = self.rnn(x.permute(1, 0, 2))
        return self.head(h[-1])


HYBRID = {"*": "bipolar", "*weight_hh*": "odd4", "head.weight": "int8"}
NETWORKS = {"gesture": lambda: build(GestureConfig(), (3, 50), 4), "bidirectional": Bidirectional, "lstm": Lstm}


@pytest.mark.parametrize("policy", [{"*": "int8"}, {"*": "bipolar"}, HYBRID], ids=["int8", "bipolar", "hybrid"])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_on_the_host_and_on_the_core(name, policy, tmp_path):
    torch.manual_seed(0)
    model = NETWORKS[name]()
    noise = np.random.default_rng(0).normal(0, 12, (1000, 50, 3 if name == "gesture" else 6))
    rows = noise.cumsum(axis=1).clip(-127, 127).astype(np.int8)  # time and channels, as the C reads them
    real = torch.from_numpy(rows).float() / 32
    real = real.transpose(1, 2) if name == "gesture" else real
    rounded = Quantizer(model, policy, ROUND_ONLY).finish()
    graph = bitq.lower(rounded, real)
    rows = (rows * (1 / 32 / graph.input.scale)).round().astype(np.int8)
    expected = evaluate(graph, rows)
    real = torch.from_numpy(rows).float() * graph.input.scale
    with torch.no_grad():
        truth = model.eval()(real.transpose(1, 2) if name == "gesture" else real).argmax(dim=1).numpy()
    assert (expected.winners == truth).mean() >= 0.98
    simulated = simulate.evaluate(graph, rows)
    folder = bitq.export(graph, tmp_path / "deploy")
    compiled = HostModel(folder).predict(rows)
    for got in (simulated, compiled):
        np.testing.assert_array_equal(got.scores, expected.scores)
        np.testing.assert_array_equal(got.winners, expected.winners)
    if emulator.is_installed():
        target = TargetConfig(compiler="zig", samples=100, optimize="size")
        measured = verify(folder, target, rows, expected.scores, expected.winners)
        assert measured.passed, measured.verdict
        assert measured.samples_checked == 100
