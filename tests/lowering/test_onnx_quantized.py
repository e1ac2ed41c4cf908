"""Quantized ONNX models: the same integers, within a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx.reference.op_run import OpRun  # noqa: E402

import bitq  # noqa: E402
from bitq.experiment import to_chip  # noqa: E402
from bitq.ir.ops import Conv, Dense, Requantize  # noqa: E402
from bitq.ir.reference import evaluate  # noqa: E402
from bitq.lowering.imports.files import QUANTIZED  # noqa: E402
from bitq.lowering.imports.integers import INTEGERS  # noqa: E402
from bitq.lowering.imports.values import Const as Held  # noqa: E402
from bitq.lowering.imports.values import parts  # noqa: E402
from bitq.lowering.onnx import imported  # noqa: E402
from tests.lowering.onnx_files import BipolarQuant, Net, Quant, qdq_network, qonnx_network  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_numbers_whatever_runs_before():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


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


def microsoft(name: str, compute):
    """Return ONNX Runtime's operator of integers as the reference evaluator takes one."""

    def run(self, *given, **attributes):
        head, rest = (given[:2], given[2:]) if name == "QLinearConcat" else ((), given)
        count = {"QLinearAdd": 2, "QLinearMul": 2, "QLinearConcat": len(rest) // 3}.get(name, 1)
        real = [(rest[i].astype(float) - rest[i + 2]) * rest[i + 1] for i in range(0, 3 * count, 3)]
        scale, zero = head or rest[3 * count : 3 * count + 2]
        bounds = np.iinfo(zero.dtype)
        steps = np.rint(compute(*real, **attributes) / scale) + zero
        return (np.clip(steps, bounds.min, bounds.max).astype(zero.dtype),)

    return type(name, (OpRun,), {"op_domain": "com.microsoft", "_run": run})


MICROSOFT = [
    microsoft("QLinearAdd", lambda a, b: a + b),
    microsoft("QLinearMul", lambda a, b: a * b),
    microsoft("QLinearConcat", lambda *x, axis: np.concatenate(x, axis)),
    microsoft("QLinearLeakyRelu", lambda x, alpha: np.where(x < 0, alpha * x, x)),
    microsoft("QLinearSigmoid", lambda x: 1 / (1 + np.exp(-x))),
    microsoft("QLinearGlobalAveragePool", lambda x, channels_last: x.mean((2, 3), keepdims=True)),
    microsoft("QLinearAveragePool", lambda x, **_: x.reshape(*x.shape[:2], 2, 2, 2, 2).mean((3, 5))),
]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("QLinearAdd", {}),
        ("QLinearMul", {}),
        ("QLinearConcat", {"axis": 1}),
        ("QLinearLeakyRelu", {"alpha": 0.2}),
        ("QLinearSigmoid", {}),
        ("QLinearGlobalAveragePool", {"channels_last": 0}),
        ("QLinearAveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ],
)
def test_the_operators_of_onnx_runtime_are_within_a_step(kind, attributes):
    net = Net(3, 4, 4)
    scales = {name: (net.const(f"{name}s", s), net.const(f"{name}z", z, np.uint8)) for name, s, z in
              (("x", 0.02, 120), ("h", 0.03, 100), ("y", 0.05, 130))}  # fmt: skip
    x = net.add("QuantizeLinear", "x", *scales["x"])
    h = net.add("QuantizeLinear", net.add("Relu", net.add("DequantizeLinear", x, *scales["x"])), *scales["h"])
    given = (x, *scales["x"], h, *scales["h"])
    one = kind not in ("QLinearAdd", "QLinearMul", "QLinearConcat")
    inputs = (*scales["y"], *given) if kind == "QLinearConcat" else (*(given[:3] if one else given), *scales["y"])
    model = net.model(net.add(kind, *inputs, domain="com.microsoft", **attributes), TensorProto.UINT8)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    rows = RNG.normal(0, 1.2, (100, 3, 4, 4)).astype(np.float32)
    (wanted,) = ReferenceEvaluator(model, new_ops=MICROSOFT).run(None, {"x": rows})
    found = imported(model)
    graph = bitq.lower(found.quantized, torch.from_numpy(rows), found.input, classify=False)
    integers = np.clip(np.rint(rows / 0.02) + found.input.zero_point, -128, 127).astype(np.int8)
    scores = evaluate(graph, to_chip(integers)).scores
    steps = np.abs(scores + 130 - to_chip(wanted.astype(int)).reshape(scores.shape))
    assert steps.max() <= 1
    assert np.ptp(wanted) > 15


@pytest.mark.parametrize("turned", [0, 1])
def test_the_dense_layer_of_onnx_runtime(turned):
    net = Net(6)
    x = net.add("QuantizeLinear", "x", net.const("xs", 0.02), net.const("xz", 3, np.int8))
    codes, bias = RNG.integers(-127, 128, (6, 4)).astype(np.int8), RNG.integers(-900, 900, 4)
    held = [net.const("w", codes.T if turned else codes, np.int8), net.const("ws", 0.01), net.const("wz", 0, np.int8)]
    args = ("xs", "xz", *held, net.const("b", bias, np.int32), net.const("ys", 0.05), net.const("yz", -4, np.int8))
    model = net.model(net.add("QGemm", x, *args, domain="com.microsoft", transB=turned), TensorProto.INT8)
    found = imported(model)
    rows = RNG.integers(-128, 128, (200, 6)).astype(np.int8)
    real = (torch.from_numpy(rows).float() - 3) * 0.02
    graph = bitq.lower(found.quantized, real, found.input, classify=False)
    exact = ((rows.astype(int) - 3) @ codes + bias) * 0.02 * 0.01 / 0.05
    assert np.abs(evaluate(graph, rows).scores - np.clip(np.rint(exact), -124, 131)).max() <= 1


def test_a_file_is_known_to_be_quantized_by_any_operator_on_integers():
    assert set(INTEGERS) == QUANTIZED
