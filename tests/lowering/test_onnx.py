"""Whole ONNX models: float ones mean the same in torch, quantized ones the same integers within a step."""

from __future__ import annotations

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx.reference.op_run import OpRun  # noqa: E402

import bitq  # noqa: E402
from bitq.config import compose  # noqa: E402
from bitq.core.errors import BitqError, ConfigError, DeployError  # noqa: E402
from bitq.experiment import to_chip  # noqa: E402
from bitq.ir.ops import Conv, Dense, Requantize  # noqa: E402
from bitq.ir.reference import evaluate  # noqa: E402
from bitq.lowering.imports.importer import Const as Held  # noqa: E402
from bitq.lowering.imports.importer import parts  # noqa: E402
from bitq.lowering.onnx import build, imported  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers_whatever_runs_before():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


class Net:
    """A graph that is written down node by node."""

    def __init__(self, *shape: int, kind: int = TensorProto.FLOAT) -> None:
        self.nodes, self.held = [], []
        self.input = helper.make_tensor_value_info("x", kind, ["n", *shape])

    def const(self, name: str, values, dtype=np.float32) -> str:
        array = values if isinstance(values, onnx.TensorProto) else numpy_helper.from_array(np.asarray(values, dtype))
        array.name = name
        self.held.append(array)
        return name

    def add(self, kind: str, *inputs: str, out: str | None = None, domain: str = "", **attributes) -> str:
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], out, domain=domain, **attributes))
        return out

    def model(self, out: str, kind: int = TensorProto.FLOAT, version: int = 21):
        output = helper.make_tensor_value_info(out, kind, None)
        graph = helper.make_graph(self.nodes, "net", [self.input], [output], self.held)
        opsets = [helper.make_opsetid("", version), helper.make_opsetid("qonnx.custom_op.general", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def quantized(net: Net, value: str, scale: float, zero: int, dtype=np.uint8) -> str:
    """Add QuantizeLinear and DequantizeLinear."""
    name = f"q{len(net.nodes)}"
    pair = (net.const(f"{name}_scale", scale), net.const(f"{name}_zero", zero, dtype))
    return net.add("DequantizeLinear", net.add("QuantizeLinear", value, *pair), *pair)


def weight(net: Net, name: str, codes, scale, zero=None, axis=0) -> str:
    """Add integer weights and their DequantizeLinear."""
    held = [net.const(name, codes, codes.dtype), net.const(f"{name}_scale", scale)]
    if zero is not None:
        held.append(net.const(f"{name}_zero", zero, codes.dtype))
    return net.add("DequantizeLinear", *held, axis=axis)


def qdq_network(*, per_channel: bool) -> Net:
    """Two convolutions, the second beside a shortcut, pooling and a head, as quantizers of ONNX models write them."""
    net = Net(2, 8, 8)
    x = quantized(net, "x", 0.02, 120)
    scale = np.linspace(0.01, 0.03, 4) if per_channel else 0.02
    codes = RNG.integers(-127, 128, (4, 2, 3, 3)).astype(np.int8)
    bias = net.const("b1", RNG.normal(0, 0.2, 4))
    h = net.add("Conv", x, weight(net, "w1", codes, scale), bias, pads=[0, 1, 1, 0])
    h = quantized(net, net.add("Relu", h), 0.02, 0)
    codes = RNG.integers(0, 256, (4, 4, 3, 3)).astype(np.uint8)
    y = net.add("Conv", h, weight(net, "w2", codes, 0.004, 128), kernel_shape=[3, 3], auto_pad="SAME_UPPER")
    y = quantized(net, y, 0.05, 3, np.int8)
    h = quantized(net, net.add("Relu", net.add("Add", h, y)), 0.05, 0)
    h = quantized(net, net.add("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2]), 0.05, 0)
    h = net.add("Flatten", quantized(net, net.add("GlobalAveragePool", h), 0.02, 0))
    codes = RNG.integers(-127, 128, (4, 3)).astype(np.int8)
    y = net.add("MatMul", h, weight(net, "w3", codes, np.array([0.01, 0.02, 0.03]), axis=1))
    y = net.add("Add", y, net.const("b3", [0.1, -0.2, 0.3]))
    net.last = quantized(net, y, 0.1, -10, np.int8)
    return net


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_quantized_network_is_the_same_integers_within_a_step(per_channel):
    net = qdq_network(per_channel=per_channel)
    model = net.model(net.last)
    found = imported(model)
    assert found.input == bitq.InputSpec((2, 8, 8), pytest.approx(0.02), -8)
    assert [weight.codes.shape for weight in found.weights.values()] == [(4, 2, 3, 3), (4, 4, 3, 3), (3, 4)]
    x = RNG.normal(0, 1.2, (300, 2, 8, 8)).astype(np.float32)
    rows = np.clip(np.rint(x / found.input.scale) - 8, -128, 127).astype(np.int8)
    graph = bitq.lower(found.quantized, torch.from_numpy(x), found.input)
    assert sum(isinstance(op, Conv | Dense) for op in graph.ops) == 3
    assert sum(isinstance(op, Requantize) for op in graph.ops) <= 2  # the pool's and the scores'
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    steps = np.abs(evaluate(graph, to_chip(rows)).scores * 0.1 - wanted) / 0.1
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() < 0.05
    assert np.ptp(wanted, axis=0).min() > 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_integers_in_and_out_and_a_weight_zero_point_that_takes_more_than_8_bits(dtype):
    net = Net(3, 6, 6, kind=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    codes = RNG.integers(low, high + 1, (5, 3, 3, 3)).astype(dtype)
    codes.flat[:2] = low, high
    args = [net.const("xs", 0.1), net.const("xz", 7, dtype), net.const("w", codes, dtype), net.const("ws", 0.02)]
    args += [net.const("wz", low, dtype), net.const("ys", 3.0), net.const("yz", 20, dtype)]
    args.append(net.const("b", RNG.integers(-500, 500, 5), np.int32))
    out = net.add("QLinearConv", "x", *args, strides=[2, 2])
    model = net.model(out, net.input.type.tensor_type.elem_type)
    found = imported(model)
    assert found.input.zero_point == 7 - 128 * (dtype is np.uint8)
    x = RNG.integers(low, high + 1, (100, 3, 6, 6)).astype(dtype)
    rows = (x.astype(int) - 128 * (dtype is np.uint8)).astype(np.int8)
    real = (torch.from_numpy(rows).float() - found.input.zero_point) * found.input.scale
    graph = bitq.lower(found.quantized, real, found.input, classify=False)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    got = evaluate(graph, to_chip(rows)).scores.reshape(100, 2, 2, 5) + 20
    assert np.abs(got - to_chip(wanted.astype(int))).max() <= 1


@pytest.mark.parametrize("most", [127, 128, 200, 254, 255])
def test_wide_weights_are_the_sum_of_their_parts(most):
    codes = np.arange(-most, most + 1).reshape(1, -1)
    split = parts(Held(codes * 0.5, codes, np.array(0.5)))
    assert len(split) == -(-most // 127)
    assert np.array_equal(sum(part.codes for part in split), codes)
    assert all(part.codes.min() >= -128 and part.codes.max() <= 127 for part in split)


class Quant(OpRun):
    op_domain = "qonnx.custom_op.general"

    def _run(self, x, scale, zero, bits, signed=1, narrow=0, rounding_mode="ROUND"):
        bits = int(bits)
        low, high = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1 - narrow)
        return (((np.clip(np.rint(x / scale + zero), low, high) - zero) * scale).astype(np.float32),)


class BipolarQuant(OpRun):
    op_domain = "qonnx.custom_op.general"

    def _run(self, x, scale):
        return ((np.where(x >= 0, 1, -1) * scale).astype(np.float32),)


def qonnx_network() -> Net:
    net = Net(12)
    quant = {"domain": "qonnx.custom_op.general"}

    def rounded(name, value, scale, bits, **attributes):
        held = [net.const(f"{name}_s", scale), net.const(f"{name}_z", 0.0), net.const(f"{name}_b", float(bits))]
        return net.add("Quant", value, *held, **quant, **attributes)

    x = rounded("x", "x", 1 / 32, 8, signed=1, narrow=0)
    real = net.const("w1", RNG.normal(0, 1, (12, 9)))
    h = net.add("MatMul", x, net.add("BipolarQuant", real, net.const("s1", 0.25), **quant))
    stats = [
        net.const(n, v) for n, v in (("g", RNG.uniform(-2, 2, 9)), ("o", RNG.normal(0, 1, 9)), ("m", np.zeros(9)))
    ]
    h = net.add("BatchNormalization", h, *stats, net.const("var", np.ones(9)))
    h = rounded("h", net.add("Relu", h), 0.5, 2, signed=0, narrow=0)
    w = rounded("w2", net.const("r2", RNG.normal(0, 1, (9, 7))), 1.0, 2, signed=1, narrow=1)
    h = rounded("h2", net.add("Relu", net.add("MatMul", h, w)), 0.25, 4, signed=0, narrow=0)
    w = rounded("w3", net.const("r3", RNG.normal(0, 1, (7, 3))), np.array([[0.1, 0.2, 0.3]]), 4, signed=1, narrow=0)
    net.last = net.add("MatMul", h, w)
    return net


def test_qonnx_weights_come_in_with_the_fewest_bits():
    net = qonnx_network()
    model = net.model(net.last)
    found = imported(model)
    assert [weight.book.name for weight in found.weights.values()] == ["bipolar", "ternary", "int8"]
    assert found.input == bitq.InputSpec((12,), 1 / 32, 0)
    rows = RNG.integers(-128, 128, (500, 12)).astype(np.int8)
    x = rows.astype(np.float32) / 32
    graph = bitq.lower(found.quantized, torch.from_numpy(x), found.input)
    (wanted,) = ReferenceEvaluator(model, new_ops=[Quant, BipolarQuant]).run(None, {"x": x})
    with torch.no_grad():
        assert np.allclose(found.model(torch.from_numpy(x)), wanted, atol=1e-4)
    got = evaluate(graph, rows)
    agree = got.winners == wanted.argmax(axis=1)
    # Where a value lies midway between two of so few levels, fixed point may take the other one.
    assert agree.mean() > 0.98
    scale = graph.types()[graph.outputs[0]].scale
    assert np.median(np.abs(got.scores * scale - wanted)) < 0.01


def test_integer_layers_whose_sums_are_scaled_by_hand():
    net = Net(10)
    pair = (net.const("s", 0.05), net.const("z", 100, np.uint8))
    x = net.add("QuantizeLinear", "x", *pair)
    codes = RNG.integers(-127, 128, (10, 4)).astype(np.int8)
    y = net.add("MatMulInteger", x, net.const("w", codes, np.int8), net.const("xz", 100, np.uint8))
    y = net.add("Mul", net.add("Cast", y, to=TensorProto.FLOAT), net.const("sw", np.float32(0.05 * 0.02)))
    model = net.model(net.add("Add", y, net.const("b", [1.0, -1.0, 0.5, 0.0])))
    found = imported(model)
    x = RNG.normal(0, 3, (200, 10)).astype(np.float32)
    rows = np.clip(np.rint(x / 0.05) + found.input.zero_point, -128, 127).astype(np.int8)
    graph = bitq.lower(found.quantized, torch.from_numpy(x), found.input)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    real = evaluate(graph, rows).scores * graph.types()[graph.outputs[0]].scale
    assert np.abs(real - wanted).max() < np.abs(wanted).max() / 1000


def float_network() -> Net:
    net = Net(2, 12)
    h = net.add("Conv", "x", net.const("conv.weight", RNG.normal(0, 0.5, (6, 2, 3))), pads=[1, 1], strides=[2])
    stats = [net.const(n, RNG.uniform(0.5, 1.5, 6)) for n in ("gain", "offset", "mean", "var")]
    h = net.add("Relu", net.add("BatchNormalization", h, *stats))
    h = net.add("GlobalAveragePool", h)
    h = net.add("Reshape", h, net.const("shape", [-1, 6], np.int64))
    head = net.const("head.weight", RNG.normal(0, 1, (3, 6)))
    h = net.add("Gemm", h, head, net.const("head.bias", RNG.normal(0, 1, 3)), transB=1)
    net.last = net.add("Softmax", h)
    return net


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


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("network", [float_network, qonnx_network, lambda: qdq_network(per_channel=True)])
def test_a_damaged_file_is_refused_or_read_and_nothing_else(network, tmp_path):
    net = network()
    whole = bytearray(net.model(net.last).SerializeToString())
    draw, path, said = random.Random(0), tmp_path / "net.onnx", []
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data[: draw.choice([len(data), draw.randrange(len(data))])])
        try:
            bitq.from_onnx(path)
        except BitqError as error:
            said.append(str(error))
    assert all(str(path) in message for message in said)
    assert len(said) > 50


def test_a_file_that_points_to_another_is_refused(tmp_path):
    net = float_network()
    onnx.save(net.model(net.last), tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(DeployError, match=r"tensor 'conv\.weight' stands in another file; save the model in one"):
        bitq.from_onnx(tmp_path / "net.onnx")


def bomb() -> Net:
    net = Net(4)
    zeros = net.add("ConstantOfShape", net.const("shape", [2**40, 4], np.int64))
    net.last = net.add("Add", "x", zeros)
    return net


def pages() -> Net:
    net = Net(1, 4)
    net.last = net.add("Pad", "x", net.const("pads", [0, 0, 0, 0, 0, 2**40], np.int64))
    return net


def loop() -> Net:
    net = Net(4)
    body = helper.make_graph([], "body", [], [])
    forever = net.add("Loop", net.const("n", 2**62, np.int64), net.const("go", True, np.bool_), body=body)
    net.last = net.add("Add", "x", forever)
    return net


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (bomb, r"it makes 4,398,046,511,104 constants; at most"),
        (pages, r"it gives \(1, 1, 1099511627780\); at most"),
        (loop, r"node 'v0' \(Loop\) cannot be imported: of constants, "),
    ],
)
def test_a_small_file_cannot_ask_for_much(net, says):
    made = net()
    with pytest.raises(DeployError, match=says):
        imported(made.model(made.last))


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        bitq.from_onnx(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"\xff" * 40)
    with pytest.raises(ConfigError, match="cannot be read as an ONNX model"):
        bitq.from_onnx(tmp_path / "bad.onnx")


def lstm() -> Net:
    net = Net(5, 4)
    net.last = net.add("LSTM", "x", net.const("w", np.zeros((1, 8, 4))), net.const("r", np.zeros((1, 8, 2))))
    return net


def sign() -> Net:
    net = Net(4)
    net.last = net.add("BipolarQuant", "x", net.const("s", 1.0), domain="qonnx.custom_op.general")
    return net


def free() -> Net:
    net = Net(4)
    net.input.type.tensor_type.shape.dim[1].dim_param = "width"
    net.last = net.add("Relu", "x")
    return net


def wide() -> Net:
    net = Net(4)
    net.last = quantized(net, "x", 0.1, 0, np.int16)
    return net


def stranger() -> Net:
    net = Net(4)
    net.last = net.add("Relu", "y")
    return net


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (lstm, r"node 'v0' \(LSTM\) cannot be imported: covered are Add, "),
        (sign, "the sign of a value that depends on the input is not covered"),
        (free, r"input 'x' is \('n', 'width'\); fix its sizes"),
        (wide, "it rounds to int16; int2, int4, int8, uint2"),
        (stranger, r"node 'v0' \(Relu\) reads 'y', which nothing before it makes"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(net, says):
    made = net()
    with pytest.raises(DeployError, match=says):
        imported(made.model(made.last))
