"""ONNX files that the tests write: node by node, as exporters and quantizers of ONNX models leave them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference.op_run import OpRun
from torch import nn


class Net:
    """A graph that is written down node by node."""

    def __init__(self, *shape: int, kind: int = TensorProto.FLOAT, steps: int = 0) -> None:
        self.nodes, self.held = [], []
        self.input = helper.make_tensor_value_info("x", kind, [*[steps] * bool(steps), "n", *shape])

    def const(self, name: str, values, dtype=np.float32) -> str:
        array = values if isinstance(values, onnx.TensorProto) else numpy_helper.from_array(np.asarray(values, dtype))
        array.name = name
        self.held.append(array)
        return name

    def add(self, kind: str, *inputs: str, domain: str = "", more: Sequence[str] = (), **attributes) -> str:
        """Add a node; return its first output, ``more`` being the others."""
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out, *more], out, domain=domain, **attributes))
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
    rng = np.random.default_rng(0)
    net = Net(2, 8, 8)
    x = quantized(net, "x", 0.02, 120)
    scale = np.linspace(0.01, 0.03, 4) if per_channel else 0.02
    codes = rng.integers(-127, 128, (4, 2, 3, 3)).astype(np.int8)
    bias = net.const("b1", rng.normal(0, 0.2, 4))
    h = net.add("Conv", x, weight(net, "w1", codes, scale), bias, pads=[0, 1, 1, 0])
    h = quantized(net, net.add("Relu", h), 0.02, 0)
    codes = rng.integers(0, 256, (4, 4, 3, 3)).astype(np.uint8)
    y = net.add("Conv", h, weight(net, "w2", codes, 0.004, 128), kernel_shape=[3, 3], auto_pad="SAME_UPPER")
    y = quantized(net, y, 0.05, 3, np.int8)
    h = quantized(net, net.add("Relu", net.add("Add", h, y)), 0.05, 0)
    h = quantized(net, net.add("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2]), 0.05, 0)
    h = net.add("Flatten", quantized(net, net.add("GlobalAveragePool", h), 0.02, 0))
    codes = rng.integers(-127, 128, (4, 3)).astype(np.int8)
    y = net.add("MatMul", h, weight(net, "w3", codes, np.array([0.01, 0.02, 0.03]), axis=1))
    y = net.add("Add", y, net.const("b3", [0.1, -0.2, 0.3]))
    net.last = quantized(net, y, 0.1, -10, np.int8)
    return net


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
    rng = np.random.default_rng(0)
    net = Net(12)
    quant = {"domain": "qonnx.custom_op.general"}

    def rounded(name, value, scale, bits, **attributes):
        held = [net.const(f"{name}_s", scale), net.const(f"{name}_z", 0.0), net.const(f"{name}_b", float(bits))]
        return net.add("Quant", value, *held, **quant, **attributes)

    x = rounded("x", "x", 1 / 32, 8, signed=1, narrow=0)
    real = net.const("w1", rng.normal(0, 1, (12, 9)))
    h = net.add("MatMul", x, net.add("BipolarQuant", real, net.const("s1", 0.25), **quant))
    stats = [
        net.const(n, v) for n, v in (("g", rng.uniform(-2, 2, 9)), ("o", rng.normal(0, 1, 9)), ("m", np.zeros(9)))
    ]
    h = net.add("BatchNormalization", h, *stats, net.const("var", np.ones(9)))
    h = rounded("h", net.add("Relu", h), 0.5, 2, signed=0, narrow=0)
    w = rounded("w2", net.const("r2", rng.normal(0, 1, (9, 7))), 1.0, 2, signed=1, narrow=1)
    h = rounded("h2", net.add("Relu", net.add("MatMul", h, w)), 0.25, 4, signed=0, narrow=0)
    w = rounded("w3", net.const("r3", rng.normal(0, 1, (7, 3))), np.array([[0.1, 0.2, 0.3]]), 4, signed=1, narrow=0)
    net.last = net.add("MatMul", h, w)
    return net


def float_network() -> Net:
    rng = np.random.default_rng(0)
    net = Net(2, 12)
    h = net.add("Conv", "x", net.const("conv.weight", rng.normal(0, 0.5, (6, 2, 3))), pads=[1, 1], strides=[2])
    stats = [net.const(n, rng.uniform(0.5, 1.5, 6)) for n in ("gain", "offset", "mean", "var")]
    h = net.add("Relu", net.add("BatchNormalization", h, *stats))
    h = net.add("GlobalAveragePool", h)
    h = net.add("Reshape", h, net.const("shape", [-1, 6], np.int64))
    head = net.const("head.weight", rng.normal(0, 1, (3, 6)))
    h = net.add("Gemm", h, head, net.const("head.bias", rng.normal(0, 1, 3)), transB=1)
    net.last = net.add("Softmax", h)
    return net


def exported(model: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    """Write a network as torch does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model.eval(), (torch.zeros(1, *shape),), str(path), dynamo=False, dynamic_axes={"x": {0: "n"}},
            input_names=["x"],
        )  # fmt: skip
