"""The node cases that come with the onnx package, made into models of one input as bitq reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.backend.test import loader

import bitq
from bitq.core.errors import BitqError
from bitq.data.dataset import InputSpec
from bitq.experiment import to_chip
from bitq.ir.reference import evaluate
from bitq.lowering.imports.integers import INTEGERS
from bitq.lowering.imports.layers import LAYERS
from bitq.lowering.imports.recurrent import RECURRENT
from bitq.lowering.onnx import imported
from bitq.quant.policy import matrix_names

NO_ARITHMETIC = {"Cast"}
"""Operators that are covered but have no case to run: it passes values on, and its cases are other types and NaN."""

JOINED = {"Add", "Concat", "Div", "Mul", "Sub", "Sum"}
"""Operators of several inputs; all are cut out of one."""

FIRST = {*RECURRENT, "Split"}
"""Operators of several outputs, of which the first is run."""

OUTPUT_SCALE = {"QLinearConv": 6, "QLinearMatMul": 6, "QuantizeLinear": 1}
"""Which input of a node with integer output is its scale; the zero point follows."""


@dataclass(frozen=True, eq=False)
class Case:
    """One case: its model, its input, what it has to give, and the name of its operator."""

    name: str
    kind: str
    model: onnx.ModelProto
    x: NDArray[Any]
    expected: NDArray[Any]
    constants: list[NDArray[Any]]


def cases() -> dict[str, Case]:
    """Return the cases of one node whose operator is covered, by name."""
    found = {}
    for case in loader.load_model_tests(kind="node"):
        kinds = {node.op_type for node in case.model.graph.node}
        if len(case.model.graph.node) == 1 and kinds <= {*LAYERS, *INTEGERS} - NO_ARITHMETIC and case.data_sets:
            found[case.name] = _case(case, kinds.pop())
    return found


def worst(case: Case) -> float:
    """Run a case through import, torch and the integer graph; return the largest error in steps of the output.

    Raises:
        BitqError: it is refused.
        AssertionError: the torch module does not mean the same.
    """
    found = imported(case.model)
    x = case.x.astype(np.float32)
    spec = found.input
    if spec is None:
        spec = InputSpec(found.shape, float(np.abs(x).max()) / 127 or 1.0, 0)
    if case.x.dtype.kind in "iu":
        rows = (case.x.astype(int) - (128 if case.x.dtype == np.uint8 else 0)).astype(np.int8)
    else:
        rows = np.clip(np.rint(x / spec.scale) + spec.zero_point, -128, 127).astype(np.int8)
    real = (torch.from_numpy(rows).float() - spec.zero_point) * spec.scale
    expected, step = case.expected.astype(np.float64), None
    if case.kind in OUTPUT_SCALE:
        scale, zero = (float(part.astype(np.float64).item()) for part in _two(case))
        expected, step = (expected - zero) * scale, scale
    elif case.kind in ("ConvInteger", "MatMulInteger"):
        step = 1.0
    with torch.no_grad():
        if found.input is None and step is None and case.kind != "ArgMax":
            assert np.allclose(found.model(torch.from_numpy(x)).numpy(), expected, rtol=1e-4, atol=1e-5)
    quantized = found.quantized
    if matrix_names(found.model) and not found.weights:
        quantized = bitq.post_training(found.model, {"*": "int8"})
    classes = case.kind in ("Softmax", "LogSoftmax")  # dropped where only the largest counts
    graph = bitq.lower(quantized, real, spec, classify=classes)
    got = evaluate(graph, to_chip(rows)).scores * graph.types()[graph.outputs[0]].scale
    if classes:
        wanted = to_chip(quantized.model(real).detach().numpy()).reshape(len(got), -1, case.expected.shape[1])
        return float((got.reshape(wanted.shape).argmax(axis=-1) != wanted.argmax(axis=-1)).sum())
    if step is None:
        with torch.no_grad():
            expected = quantized.model(real).double().numpy()
        step = float(np.abs(expected).max()) / 127 or 1.0
    return float(np.abs(got - to_chip(expected).reshape(got.shape)).max()) / step


def refusal(case: Case) -> str:
    """Return the words with which a case is refused; '' if it is not."""
    try:
        worst(case)
    except BitqError as error:
        return str(error)
    return ""


def _two(case: Case) -> list[NDArray[Any]]:
    place = OUTPUT_SCALE[case.kind]
    held = case.constants[place - 1 : place + 1]
    return held if len(held) == 2 else [*held, np.zeros((), np.uint8)]


def _case(case: Any, kind: str) -> Case:
    inputs, outputs = case.data_sets[0]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    arrays = [None if a is None or isinstance(a, list) else _array(a) for a in inputs]
    graph, values = model.graph, list(model.graph.input)
    expected = outputs[0] if isinstance(outputs[0], list) else _array(outputs[0])
    data = [a for a in arrays if a is not None]
    if kind == "Sum" and data[0].ndim == 1:  # a row
        data, expected = [a[None] for a in data], expected[None]
    if kind in JOINED and len(data) > 1 and all(a.ndim == data[0].ndim >= 2 for a in data):
        return _joined(case.name, kind, model, data, expected)
    for value, array, given in zip(values[1:], arrays[1:], inputs[1:], strict=False):
        if array is not None:
            graph.initializer.append(_named(given, value.name))
    x = arrays[0] if arrays and arrays[0] is not None else np.zeros(0)
    if kind in FIRST:
        del graph.output[1:]
    # Bitq has the batch first everywhere.
    if kind in RECURRENT and not any(a.name == "layout" and a.i for a in graph.node[0].attribute):
        x = np.moveaxis(x, 1, 0)
    if kind in (*RECURRENT, "Reshape", "Transpose", "Unsqueeze") and len(x) in expected.shape[1:]:
        expected = np.moveaxis(expected, expected.shape.index(len(x)), 0)
    if x.ndim == 1 and kind not in ("Concat", "MatMul", "Reshape", "Slice"):  # element by element: a row of a batch
        x, expected = x[None], expected[None] if not isinstance(expected, list) else expected
        values[0].type.tensor_type.shape.dim.insert(0, onnx.TensorShapeProto.Dimension(dim_value=1))
    return Case(case.name, kind, model, x, expected, [a for a in arrays[1:] if a is not None])


def _joined(name: str, kind: str, model: onnx.ModelProto, data: list[Any], expected: Any) -> Case:
    """Let one input carry all of them, one after the other along axis 1."""
    graph, values = model.graph, list(model.graph.input)
    nodes, first = [], 0
    for value, array in zip(values, data, strict=False):
        ends = {"starts": [first], "ends": [first + array.shape[1]], "axes": [1]}
        for key, numbers in ends.items():
            graph.initializer.append(numpy_helper.from_array(np.array(numbers), f"{value.name}_{key}"))
        nodes.append(helper.make_node("Slice", ["joint", *(f"{value.name}_{key}" for key in ends)], [value.name]))
        first += array.shape[1]
    rest = list(graph.node)
    kind_of = values[0].type.tensor_type.elem_type
    del graph.input[:], graph.node[:]
    shape = list(data[0].shape)
    shape[1] = first
    graph.input.append(helper.make_tensor_value_info("joint", kind_of, shape))
    graph.node.extend([*nodes, *rest])
    joint = np.concatenate(data, axis=1) if len({a.shape[:1] + a.shape[2:] for a in data}) == 1 else data[0]
    return Case(name, kind, model, joint, expected, [])


def _array(value: Any) -> NDArray[Any]:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _named(value: Any, name: str) -> onnx.TensorProto:
    if isinstance(value, onnx.TensorProto):
        tensor = onnx.TensorProto()
        tensor.CopyFrom(value)
        tensor.name = name
        return tensor
    return numpy_helper.from_array(np.asarray(value), name)
