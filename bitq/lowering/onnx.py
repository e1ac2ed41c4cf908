"""ONNX files: a float model comes in as a torch module to be quantized like any other, a quantized one with codes.

`from_onnx` walks the file once; what each operator means stands in `bitq.lowering.imports`. Weight zero points, and
types that are narrower or unsigned, are widened to INT8 on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from bitq.core.errors import ConfigError, DeployError
from bitq.data.dataset import InputSpec
from bitq.ir.types import INT8, UINT8
from bitq.lowering.imports.call import Call
from bitq.lowering.imports.files import load
from bitq.lowering.imports.folding import array, fold, package
from bitq.lowering.imports.importer import Importer
from bitq.lowering.imports.integers import INTEGERS
from bitq.lowering.imports.layers import LAYERS
from bitq.lowering.imports.recurrent import RECURRENT
from bitq.lowering.imports.values import Const, Flow
from bitq.quant.matrix import QuantizedWeight
from bitq.quant.quantizer import QuantizedModel

DOMAINS = ("", "ai.onnx", "qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general", "com.microsoft")
_INPUTS = {"float32": None, "float64": None, "float16": None, "int8": INT8, "uint8": UINT8}


@dataclass(frozen=True, eq=False)
class Imported:
    """An ONNX file as a torch module.

    Attributes:
        model: takes ``(n, *shape)``, in the order of the file but for the batch, which is first.
        weights: codes by parameter name, where the file is quantized.
        shape: of the input, without the batch.
        input: integer encoding of the input, where the file gives one.
    """

    model: fx.GraphModule
    weights: dict[str, QuantizedWeight]
    shape: tuple[int, ...]
    input: InputSpec | None

    @property
    def quantized(self) -> QuantizedModel:
        """Model and codes for `bitq.lower`; the policy of a float model has to give it codes first."""
        return QuantizedModel(self.model, self.weights)


def from_onnx(path: str | Path) -> Imported:
    """Read an ONNX file.

    A float model (``weights`` is empty) is quantized like any torch module; one with QuantizeLinear and
    DequantizeLinear, integer layers or QONNX's Quant and BipolarQuant is lowered as it is:
    ``bitq.lower(found.quantized, calibration, found.input)``, where the calibration rows give the shapes, and the
    ranges of what the file does not quantize.

    Raises:
        ConfigError: the file is missing or damaged, or the onnx package is.
        DeployError: a node is not covered.
    """
    proto = load(path)
    try:
        return imported(proto)
    except DeployError as error:
        raise DeployError(f"{path}: {error}") from error


def imported(proto: Any) -> Imported:
    """Turn an ``onnx.ModelProto`` into a torch module.

    Raises:
        DeployError: a node is not covered, names it; or the file has not one input of a known shape.
    """
    onnx, graph = package(), proto.graph
    into = Importer()
    for tensor in graph.initializer:
        into.tensors[tensor.name] = Const(array(tensor))
    inputs = [value for value in graph.input if value.name not in into.tensors]
    if len(inputs) != 1:
        raise DeployError(f"it has {len(inputs)} inputs that are no constants; one is covered.")
    batch = int(any(_reads_steps(node, inputs[0].name) for node in graph.node))
    shape = _shape(inputs[0], batch)
    kind = onnx.helper.tensor_dtype_to_np_dtype(inputs[0].type.tensor_type.elem_type).name
    if kind not in _INPUTS:
        raise DeployError(f"its input holds {kind}; {', '.join(_INPUTS)} are covered.")
    rows = int(inputs[0].type.tensor_type.shape.dim[batch].dim_value)
    into.input(inputs[0].name, shape, _INPUTS[kind], batch, max(1, rows))
    outputs = {value.name for value in graph.output}
    version = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 1)
    for number, node in enumerate(graph.node):
        name, last = node.name or f"{node.op_type.lower()}{number}", not outputs.isdisjoint(node.output)
        try:
            attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
            ends = (tuple(node.input), tuple(node.output))
            call = Call(into, _title(node, name), node.op_type, *ends, attributes, version, last)
            found = _value(call, node)
            into.tensors.update(zip(node.output, found if isinstance(found, tuple) else (found,), strict=False))
        except KeyError as error:
            raise DeployError(
                f"node '{name}' ({node.op_type}) reads {error}, which nothing before it makes."
            ) from error
        except (DeployError, RuntimeError, ValueError, TypeError, IndexError) as error:
            what = str(error).splitlines()[0]
            raise DeployError(f"node '{name}' ({node.op_type}) cannot be imported: {what}") from error
    return Imported(into.finish([value.name for value in graph.output]), into.weights, shape, into.spec)


def build(config: Any, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return the float network of a file, for an experiment; its weights are where training begins.

    Raises:
        ConfigError: it is quantized already, or does not fit the data.
    """
    found = _fitting(config, shape, outputs)
    if found.weights:
        raise ConfigError(f"model.path: {config.path} is quantized already; leave its variants to it.")
    return found.model


def given(config: Any, shape: tuple[int, ...], outputs: int) -> QuantizedModel:
    """Return the quantized network of a file, for an experiment that takes it as it is.

    Raises:
        ConfigError: it is no quantized one, or does not fit the data.
    """
    found = _fitting(config, shape, outputs)
    if not found.weights:
        raise ConfigError(f"model.path: {config.path} is not quantized; train it, or round it with training=ptq.")
    return found.quantized


def _fitting(config: Any, shape: tuple[int, ...], outputs: int) -> Imported:
    """Return the network of a file, its input in the order of the data."""
    if not config.path:
        raise ConfigError("model.path: name the .onnx file, as in model.path=network.onnx.")
    found = from_onnx(config.path)
    if found.shape != shape and found.shape == (*shape[1:], shape[0]):
        _turn_input(found.model)
        found = replace(found, shape=shape)
    given = tuple(found.model(torch.zeros(1, *found.shape)).shape[1:])
    if (found.shape, given) != (shape, (outputs,)):
        raise ConfigError(
            f"model.path: {config.path} turns {found.shape} into {given}; the data need {shape} and ({outputs},)."
        )
    return found


def _turn_input(model: fx.GraphModule) -> None:
    """Let a network that reads its channels last read them first; lowering takes both permutations away."""
    x = next(node for node in model.graph.nodes if node.op == "placeholder")
    with model.graph.inserting_after(x):
        turned = model.graph.call_function(torch.movedim, (x, 1, -1))
    x.replace_all_uses_with(turned, lambda user: user is not turned)
    model.recompile()


def _value(call: Call, node: Any) -> Const | Flow | tuple[Const | Flow, ...]:
    """Return what a node gives: a constant where everything that it reads is one."""
    if call.kind == "Constant":
        ((_, value),) = call.attributes.items()
        return Const(np.asarray(value))
    if node.domain not in DOMAINS:
        call.refuse(f"its domain is '{node.domain}'.")
    if call.kind == "Shape" and isinstance(value := call.tensor(0), Flow):
        return Const(np.array(value.example.shape)[call.attribute("start", 0) : call.attributes.get("end")])
    handler = INTEGERS.get(call.kind)
    if handler is None:
        given = [call.into.tensors[name] for name in call.inputs if name]
        constants = [value for value in given if isinstance(value, Const)]
        if len(constants) == len(given) and not any(value.codes is not None for value in constants):
            return _folded(call, node)
        handler = LAYERS.get(call.kind)
    if handler is None:
        call.refuse(f"covered are {', '.join(sorted(LAYERS))}, and quantized ones (QLinear…, QONNX).")
    return handler(call)


def _folded(call: Call, node: Any) -> tuple[Const, ...]:
    found = fold(node, {name: call.array(place) for place, name in enumerate(call.inputs) if name}, call.version)
    return tuple(Const(value) for value in found)


def _title(node: Any, name: str) -> str:
    """Return the name of the layer whose weight a node reads, as exporters write it, else the node's."""
    weight = node.input[1] if len(node.input) > 1 else ""
    return weight.removesuffix(".weight") if weight.endswith(".weight") else name


def _reads_steps(node: Any, name: str) -> bool:
    """Whether a node reads a value step by step: its batch is the second axis."""
    layout = next((a.i for a in node.attribute if a.name == "layout"), 0)
    return node.op_type in RECURRENT and node.input[0] == name and layout == 0


def _shape(value: Any, batch: int) -> tuple[int, ...]:
    """Return the shape of an input without the batch, which is the first or the second axis."""
    dims = value.type.tensor_type.shape.dim
    sizes = tuple(int(dim.dim_value) for place, dim in enumerate(dims) if place != batch)
    if not sizes or min(sizes) < 1:
        raise DeployError(
            f"input '{value.name}' is {tuple(d.dim_param or d.dim_value for d in dims)}; fix its sizes, all but the "
            f"batch, its axis {batch}."
        )
    return sizes


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return array(value) if type(value).__name__ == "TensorProto" else value
