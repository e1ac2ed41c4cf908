"""ONNX files that are damaged, ask for too much, or hold what is not covered: refused in words, and nothing else."""

from __future__ import annotations

import random

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import helper  # noqa: E402

import bitq  # noqa: E402
from bitq.core.errors import BitqError, ConfigError, DeployError  # noqa: E402
from bitq.lowering.onnx import imported  # noqa: E402
from tests.lowering.onnx_files import Net, float_network, qdq_network, qonnx_network, quantized  # noqa: E402


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


def attention() -> Net:
    net = Net(5, 4)
    net.last = net.add("Attention", "x", "x", "x")
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


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (attention, r"node 'v0' \(Attention\) cannot be imported: covered are Abs, Add, "),
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
