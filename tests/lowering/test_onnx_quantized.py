"""Quantized ONNX models: the same integers, within a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

import bitq  # noqa: E402
from bitq.experiment import to_chip  # noqa: E402
from bitq.ir.ops import Conv, Dense, Requantize  # noqa: E402
from bitq.ir.reference import evaluate  # noqa: E402
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
