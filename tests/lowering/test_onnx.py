"""Float ONNX models: they mean the same in torch, and are quantized like any other network."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
from onnx.reference import ReferenceEvaluator  # noqa: E402

import bitq  # noqa: E402
from bitq.config import compose  # noqa: E402
from bitq.core.errors import ConfigError  # noqa: E402
from bitq.experiment import to_chip  # noqa: E402
from bitq.ir.ops import Conv, Dense  # noqa: E402
from bitq.ir.reference import evaluate  # noqa: E402
from bitq.lowering.onnx import build  # noqa: E402
from tests.lowering.onnx_files import float_network, qonnx_network  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers_whatever_runs_before():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def exported(model: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write a network as torch does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model.eval(), (torch.zeros(1, *shape),), str(path), dynamo=False, dynamic_axes={"x": {0: "n"}},
            input_names=["x"],
        )  # fmt: skip


class Branching(nn.Module):
    """A residual block, a gate, a join and a view."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.block = nn.Conv2d(4, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(8 * 16, 3)

    def forward(self, x):
        x = nn.functional.relu(self.stem(x))
        y = nn.functional.relu(x + self.block(x))
        y = torch.cat([y * torch.sigmoid(self.gate(y)), nn.functional.relu6(x)], 1)
        return self.head(nn.functional.max_pool2d(y, 2).view(x.shape[0], -1))


def test_a_float_network_is_the_same_in_torch_and_learns_as_any_other(tmp_path):
    net = float_network()
    model = net.model(net.last)
    onnx.save(model, tmp_path / "net.onnx")
    found = bitq.from_onnx(tmp_path / "net.onnx")
    assert (found.weights, found.input, found.shape) == ({}, None, (2, 12))
    x = RNG.normal(0, 1, (50, 2, 12)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    with torch.no_grad():
        assert np.allclose(found.model(torch.from_numpy(x)), wanted, atol=1e-5)
    optimizer = torch.optim.Adam(found.model.parameters(), 1e-2)
    quantizer = bitq.quantize(found.model, {"*": "int8", "conv.weight": "bipolar"}, optimizer, 10)
    for _ in range(10):
        optimizer.zero_grad()
        found.model(torch.from_numpy(x)).square().sum().backward()
        optimizer.step()
    graph = bitq.lower(quantizer.finish(), torch.from_numpy(x))
    assert [op.layer for op in graph.ops if isinstance(op, Conv | Dense)] == ["conv", "head"]


def test_an_experiment_takes_a_float_file_and_refuses_what_does_not_fit(tmp_path):
    net = float_network()
    onnx.save(net.model(net.last), tmp_path / "net.onnx")
    config = compose(["model=onnx", f"model.path={tmp_path / 'net.onnx'}"]).model
    assert isinstance(build(config, (2, 12), 3), torch.nn.Module)
    with pytest.raises(ConfigError, match=r"turns \(2, 12\) into \(3,\); the data need \(2, 12\) and \(4,\)"):
        build(config, (2, 12), 4)
    net = qonnx_network()
    onnx.save(net.model(net.last), tmp_path / "net.onnx")
    with pytest.raises(ConfigError, match="is quantized already"):
        build(config, (12,), 3)
    with pytest.raises(ConfigError, match=r"model\.path: name the \.onnx file"):
        build(compose(["model=onnx"]).model, (12,), 3)


def test_the_same_network_through_a_file_is_the_same_integers(tmp_path):
    torch.manual_seed(0)
    model, x = Branching().eval(), torch.randn(200, 2, 8, 8)
    exported(model, (2, 8, 8), tmp_path / "net.onnx")
    found = bitq.from_onnx(tmp_path / "net.onnx")
    policy = {"*": "int8", "block.*": "odd2", "stem.*": "bipolar"}
    direct, filed = (bitq.lower(bitq.post_training(m, policy), x) for m in (model, found.model))
    spec = next(iter(direct.types().values()))
    rows = to_chip(np.clip(np.rint(x.numpy() / spec.scale), -128, 127).astype(np.int8))
    assert np.array_equal(evaluate(direct, rows).scores, evaluate(filed, rows).scores)
