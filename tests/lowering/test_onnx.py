"""Float ONNX models: they mean the same in torch, and are quantized like any other network."""

from __future__ import annotations

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
from bitq.ir.ops import Conv, Dense, Reshape, View  # noqa: E402
from bitq.ir.reference import evaluate  # noqa: E402
from bitq.lowering.onnx import build, given, imported  # noqa: E402
from tests.lowering.onnx_files import Net, exported, float_network, qonnx_network  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers_whatever_runs_before():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


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
    with pytest.raises(ConfigError, match="is not quantized; train it, or round it"):
        given(config, (2, 12), 3)
    net = qonnx_network()
    onnx.save(net.model(net.last), tmp_path / "net.onnx")
    with pytest.raises(ConfigError, match="is quantized already"):
        build(config, (12,), 3)
    assert len(given(config, (12,), 3).weights) == 3
    net = keras_network()
    onnx.save(net.model(net.last, version=13), tmp_path / "net.onnx")
    model = build(config, (3, 9, 12), 5)
    (wanted,) = ReferenceEvaluator(str(tmp_path / "net.onnx")).run(None, {"x": np.ones((1, 9, 12, 3), np.float32)})
    assert np.allclose(model(torch.ones(1, 3, 9, 12)).detach(), wanted, atol=1e-5)
    x = torch.randn(50, 3, 9, 12)
    graph = bitq.lower(bitq.post_training(model, {"*": "int8"}), x)
    assert not any(isinstance(op, View | Reshape) for op in graph.ops[:4])
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


def keras_network() -> Net:
    """Images channels last, as tf2onnx writes a Keras model: fused batch norms, ReLU6 as Clip, dense as MatMul."""
    rng, net = np.random.default_rng(0), Net(9, 12, 3)

    def conv(x: str, name: str, shape: tuple[int, ...], **attributes) -> str:
        held = [
            net.const(f"{name}/w", rng.normal(0, 0.4, shape)),
            net.const(f"{name}/b", rng.normal(0, 0.2, shape[0])),
        ]
        return net.add("Conv", x, *held, **attributes)

    h = net.add("Transpose", "x", perm=[0, 3, 1, 2])
    h = conv(h, "first", (4, 3, 3, 3), pads=[0, 0, 1, 1], strides=[2, 2])
    limits = (net.const("low", 0.0), net.const("high", 6.0))
    h = net.add("Clip", h, *limits)
    h = net.add("Clip", conv(h, "depthwise", (4, 1, 3, 3), auto_pad="SAME_UPPER", group=4), *limits)
    h = net.add("MaxPool", h, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    y = net.add("Relu", conv(h, "second", (4, 4, 1, 1)))
    h = net.add("Transpose", net.add("Add", h, y), perm=[0, 2, 3, 1])
    h = net.add("LeakyRelu", h, alpha=0.2)
    pooled = net.add("ReduceMean", h, axes=[1, 2], keepdims=0)
    flat = net.add("Reshape", h, net.const("shape", [-1, h_size := 2 * 3 * 4], np.int64))
    h = net.add("Concat", net.add("MatMul", flat, net.const("d/w", rng.normal(0, 0.2, (h_size, 8)))), pooled, axis=-1)
    h = net.add("HardSigmoid", h)
    h = net.add("MatMul", h, net.const("head/w", rng.normal(0, 1, (12, 5))))
    net.last = net.add("Softmax", net.add("Add", h, net.const("head/b", rng.normal(0, 1, 5))), axis=-1)
    return net


def test_a_network_as_keras_exports_one_is_the_same_and_moves_no_image():
    net = keras_network()
    model = net.model(net.last, version=13)
    found = imported(model)
    x = (RNG.integers(-128, 128, (300, 9, 12, 3)) / 64).astype(np.float32)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    with torch.no_grad():
        assert np.allclose(found.model(torch.from_numpy(x)), wanted, atol=1e-5)
    graph = bitq.lower(bitq.post_training(found.model, {"*": "int8"}), torch.from_numpy(x))
    assert graph.input.shape == (9, 12, 3)
    assert not any(isinstance(op, View | Reshape) for op in graph.ops[:4])
    agree = evaluate(graph, (x * 64).astype(np.int8)).winners == wanted.argmax(axis=1)
    assert agree.mean() > 0.96


def test_a_gelu_as_older_exporters_write_it():
    net = Net(6)
    h = net.add("MatMul", "x", net.const("w", RNG.normal(0, 1, (6, 6))))
    half = net.add("Erf", net.add("Div", h, net.const("root", 2**0.5)))
    h = net.add("Mul", net.add("Mul", h, net.add("Add", half, net.const("one", 1.0))), net.const("half", 0.5))
    h = net.add("Split", h, net.const("sizes", [2, 4], np.int64), axis=1, more=["second"])
    low = net.add("ReduceSum", h, net.const("axis", [1], np.int64))
    net.last = net.add(
        "Concat", low, net.add("Gather", "second", net.const("at", [0, 1, 2, 3], np.int64), axis=1), axis=1
    )
    model = net.model(net.last)
    x = (RNG.integers(-128, 128, (300, 6)) / 64).astype(np.float32)
    found = imported(model)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    with torch.no_grad():
        assert np.allclose(found.model(torch.from_numpy(x)), wanted, atol=1e-5)
    graph = bitq.lower(bitq.post_training(found.model, {"*": "int8"}), torch.from_numpy(x))
    assert (evaluate(graph, (x * 64).astype(np.int8)).winners == wanted.argmax(axis=1)).mean() > 0.94


def test_constants_mean_what_the_version_of_the_file_says():
    net = Net(6)
    net.last = net.add("Mul", "x", net.add("Unsqueeze", net.const("gain", np.arange(1, 7)), axes=[0]))
    x = torch.ones(2, 6)
    assert torch.equal(imported(net.model(net.last, version=11)).model(x), x * torch.arange(1, 7))
