"""Constants of an ONNX file: tensors that stand in it, and what nodes compute from them, within bounds.

A file is data: nothing outside it is read, and no node can make more numbers than it takes to describe a network.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import ConfigError, DeployError

MOST = 2**26  # elements of one constant
_ADVICE = "pip install 'bitq[onnx]'"

_FOLDED = frozenset([
    "Abs", "Add", "Cast", "CastLike", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Exp", "Expand", "Flatten",
    "Floor", "Gather", "Greater", "Identity", "Less", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Pow", "Range",
    "Reciprocal", "ReduceMean", "ReduceProd", "ReduceSum", "Reshape", "Round", "Shape", "Sign", "Size", "Slice",
    "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where",
])  # fmt: skip
"""Operators on constants: without subgraphs, and bounded by the sizes of what they read and the shapes in it."""


def package() -> Any:
    """Return the onnx package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigError(f"ONNX files need the onnx package: {_ADVICE}") from error
    return onnx


def array(tensor: Any) -> NDArray[Any]:
    """Return the numbers of an ``onnx.TensorProto``.

    Raises:
        DeployError: they stand in another file, or are not what the tensor says.
    """
    onnx = package()
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise DeployError(f"tensor '{tensor.name}' stands in another file; save the model in one, with onnx.save.")
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > MOST:
        raise DeployError(f"tensor '{tensor.name}' is {tuple(tensor.dims)}; at most {MOST:,} elements are read.")
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise DeployError(f"tensor '{tensor.name}' is damaged: {str(error).splitlines()[0]}.") from error


def fold(node: Any, values: dict[str, NDArray[Any]], version: int) -> list[NDArray[Any]]:
    """Return what a node of a version of the operator set gives for constant inputs.

    Raises:
        DeployError: its operator is not one of those, or it makes too many numbers.
    """
    if node.op_type not in _FOLDED:
        raise DeployError("of constants, it is not computed here; let the exporter fold it, or onnxsim in the file.")
    if (size := _size(node.op_type, list(values.values()))) > MOST:
        raise DeployError(f"it makes {size:,} constants; at most {MOST:,} are computed.")
    onnx = package()
    from onnx.reference import ReferenceEvaluator

    inputs, outputs = ([onnx.ValueInfoProto(name=name) for name in names] for names in (values, node.output))
    graph = onnx.GraphProto(name="fold", node=[node], input=inputs, output=outputs)
    try:
        found = ReferenceEvaluator(graph, opsets={node.domain: version}).run(None, values)
        return [np.asarray(value) for value in found]
    except Exception as error:  # whatever numpy makes of a wrong node
        raise DeployError(f"its constants cannot be computed: {str(error).splitlines()[0][:200]}") from error


def _size(kind: str, values: list[NDArray[Any]]) -> int:
    """Return an upper bound for the elements of a result."""
    if kind in ("ConstantOfShape", "Expand"):
        shape = [abs(int(size)) for size in values[-1].reshape(-1)[:8]]
        return math.prod([*(max(1, size) for size in shape), *(value.size for value in values[:-1])])
    if kind == "Range":
        first, end, step = (float(value.reshape(-1)[0]) for value in values)
        return math.ceil(abs(end - first) / abs(step)) if step else MOST + 1
    if kind == "Gather":
        return math.prod(value.size for value in values)
    try:
        return max(math.prod(np.broadcast_shapes(*(value.shape for value in values))), *(v.size for v in values), 0)
    except ValueError:
        return sum(value.size for value in values)
