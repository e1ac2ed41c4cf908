"""The growing torch module while a file is imported: constants, values, and the layers between them.

Every value of the file is a torch value up to an affine map that the file's integers imply, so integer layers and
real ones are the same torch layers; what the file says of formats stands in `Quantize` modules and in the codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.func import functional_call

from bitq.core.errors import DeployError
from bitq.data.dataset import InputSpec
from bitq.ir.types import INT8, UINT8, DType, TensorType
from bitq.lowering.builder import Builder, Value
from bitq.lowering.imports.folding import MOST
from bitq.lowering.trace import Seen, Whole
from bitq.quant.codebook import CODEBOOKS, Codebook
from bitq.quant.matrix import QuantizedWeight

_SAME = 1e-6  # two scales that differ by less are one, written in float32


@dataclass(frozen=True, eq=False)
class Const:
    """A constant of the file.

    Attributes:
        array: its numbers; real ones are ``codes · scale`` where there are codes.
        codes: integers without zero point, of the same shape.
        scale: real value of one step, broadcasting over the codes.
    """

    array: NDArray[Any]
    codes: NDArray[np.int64] | None = None
    scale: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Flow:
    """A value that depends on the input: the file's tensor is ``node · factor + zero``.

    Attributes:
        node: in the torch graph.
        example: one row without its numbers, of torch's device 'meta'.
        factor: 1 / scale for integers, 1 as a rule for real values.
        zero: their zero point.
        integers: whether the file holds integers there.
    """

    node: fx.Node
    example: Tensor
    factor: float = 1.0
    zero: float = 0.0
    integers: bool = False


class Quantize(Whole):
    """Rounding to ``scale · (low − zero_point … high − zero_point)``, as a file asks for it.

    Args:
        scale: real value of one step.
        zero_point: the integer that stands for 0.0.
        dtype: INT8 or UINT8.
        low: least integer.
        high: largest integer.
    """

    def __init__(self, scale: float, zero_point: int, dtype: DType, low: int, high: int) -> None:
        super().__init__()
        self.scale, self.zero_point, self.dtype, self.low, self.high = scale, zero_point, dtype, low, high

    @property
    def kind(self) -> TensorType:
        """Its number format, without a shape."""
        return TensorType((), self.dtype, self.scale, self.zero_point)

    def forward(self, x: Tensor) -> Tensor:
        """Round, half to even as ONNX does."""
        integers = torch.round(x / self.scale) + self.zero_point
        return (integers.clamp(self.low, self.high) - self.zero_point) * self.scale


def quantize(builder: Builder, node: fx.Node, module: Quantize) -> Value:
    """Bring a value to the number format that the file gives it."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    value = builder.value(source)
    return builder.cast(str(node.target), value, module.kind, module.low, module.high)


def pin(traced: fx.GraphModule, seen: dict[str, Seen]) -> None:
    """Let values that are only read to be rounded have the number format of that rounding from the start."""
    for node in traced.graph.nodes:
        kinds = [_kind(traced, user) for user in node.users]
        if node.name in seen and kinds and kinds[0] is not None and all(kind == kinds[0] for kind in kinds):
            seen[node.name] = replace(seen[node.name], kind=kinds[0])


def _kind(traced: fx.GraphModule, node: fx.Node) -> TensorType | None:
    module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
    return module.kind if isinstance(module, Quantize) else None


class Importer:
    """Builds a torch module, one node of the file after the other.

    Attributes:
        tensors: what the file's names stand for so far.
        weights: codes by parameter name.
        spec: integer encoding of the input, where the file gives one.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Const | Flow] = {}
        self.weights: dict[str, QuantizedWeight] = {}
        self.spec: InputSpec | None = None
        self._graph = fx.Graph()
        self._root = nn.Module()
        self._input: fx.Node | None = None
        self._integers: DType | None = None
        self._name = ""

    def input(self, name: str, shape: tuple[int, ...], dtype: DType | None) -> None:
        """Add the input, of a shape without the batch; of INT8 or UINT8 where the file takes integers."""
        self._integers, self._name = dtype, name
        self._input = self._graph.placeholder("x")
        self.tensors[name] = Flow(self._input, torch.zeros(1, *shape, device="meta"), integers=dtype is not None)

    def finish(self, outputs: list[str]) -> fx.GraphModule:
        """Return the module; an output of integers is given as the real values behind them.

        Raises:
            DeployError: an output does not depend on the input.
        """
        nodes: list[fx.Node] = []
        for name in outputs:
            value = self.tensors.get(name)
            if not isinstance(value, Flow):
                raise DeployError(f"output '{name}' does not depend on the input.")
            nodes.append(value.node if value.integers else self.real(name).node)
        self._graph.output(nodes[0] if len(nodes) == 1 else tuple(nodes))
        return fx.GraphModule(self._root, self._graph).eval()

    def const(self, name: str) -> Const:
        """Return a constant.

        Raises:
            DeployError: it depends on the input.
        """
        value = self.tensors[name]
        if isinstance(value, Flow):
            raise DeployError(f"'{name}' depends on the input; a constant is needed there.")
        return value

    def flow(self, name: str) -> Flow:
        """Return a value that depends on the input.

        Raises:
            DeployError: it is a constant.
        """
        value = self.tensors[name]
        if isinstance(value, Const):
            raise DeployError(f"'{name}' is a constant; a value that depends on the input is needed there.")
        return value

    def real(self, name: str) -> Flow:
        """Return a value as the numbers that the file means, an affine layer being added where they differ.

        Raises:
            DeployError: it is the input as integers, which have no scale.
        """
        value = self.flow(name)
        if value.node is self._input and value.integers:
            raise DeployError(
                f"the input '{name}' holds integers; a layer on integers or DequantizeLinear reads them."
            )
        if same(value.factor, 1.0) and value.zero == 0:
            return value
        channels = value.example.shape[1]
        return self.affine(name, value, np.full(channels, value.factor), np.full(channels, value.zero))

    def dequantized(self, name: str, scale: float, zero: int) -> Flow:
        """Return the real value ``(integer − zero) · scale`` of a tensor of integers.

        Raises:
            DeployError: it was given another scale or zero point before.
        """
        value = self.flow(name)
        if value.node is self._input and self.spec is None:
            self.spec = InputSpec(tuple(value.example.shape[1:]), scale, zero - 128 * (self._integers is UINT8))
            # From now on the input is the real value of the file's integers.
            self.tensors[name] = value = Flow(value.node, value.example, 1 / scale, zero, integers=True)
        if not same(value.factor * scale, 1.0) or value.zero != zero:
            raise DeployError(
                f"'{name}' is made with scale {1 / value.factor:g} and zero point {value.zero:g}, but read with "
                f"{scale:g} and {zero}; requantize it in the file."
            )
        return Flow(value.node, value.example)

    def encode(self, value: Flow, rounding: Quantize) -> None:
        """Take a rounding of the input as its integer encoding, the first one where there are several."""
        if self.spec is None:
            self.spec = InputSpec(tuple(value.example.shape[1:]), rounding.scale, rounding.zero_point)

    def is_input(self, value: Flow) -> bool:
        """Whether a value is the input itself."""
        return value.node is self._input

    def call(self, name: str, module: nn.Module, *values: Flow) -> Flow:
        """Add a module that reads values, under a name like the given one."""
        path = self._path(name)
        self._root.add_module(path, module.eval())
        node = self._graph.call_module(path, tuple(value.node for value in values))
        held = {n: t.to("meta") for n, t in (*module.named_parameters(), *module.named_buffers())}
        return self._made(node, partial(functional_call, module, held), (tuple(value.example for value in values),))

    def apply(self, function: Callable[..., Tensor], *arguments: Any) -> Flow:
        """Add a call of a torch function; values among its arguments, and in lists, are read."""
        node = self._graph.call_function(function, _each(arguments, lambda value: value.node))
        return self._made(node, function, _each(arguments, lambda value: value.example))

    def layer(
        self, name: str, module: nn.Linear | nn.Conv1d | nn.Conv2d, x: Flow, weight: Const, bias: NDArray[Any] | None
    ) -> Flow:
        """Add a layer with weights, whose codes are kept where the file has some."""
        path = self._path(name)
        assert tuple(module.weight.shape) == weight.array.shape
        with torch.no_grad():
            module.weight.copy_(torch.tensor(weight.array))
            if bias is not None and module.bias is not None:
                module.bias.copy_(torch.tensor(bias))
        if weight.codes is not None and weight.scale is not None:
            self.weights[f"{path}.weight"] = _coded(name, weight.codes, weight.scale)
        return self.call(path, module, x)

    def affine(self, name: str, value: Flow, gain: NDArray[Any], offset: NDArray[Any]) -> Flow:
        """Add ``x · gain + offset`` per channel, which folds into the layer before it."""
        kind = nn.BatchNorm2d if value.example.dim() == 4 else nn.BatchNorm1d
        module = kind(value.example.shape[1], eps=0.0)
        with torch.no_grad():
            module.weight.copy_(torch.tensor(gain))
            module.bias.copy_(torch.tensor(offset))
        return self.call(f"{name}_affine", module, Flow(value.node, value.example))

    def module_of(self, value: Flow) -> nn.Module | None:
        """Return the module that makes a value and that nothing else reads yet."""
        if value.node.op != "call_module" or value.node.users:
            return None
        return self._root.get_submodule(str(value.node.target))

    def _made(self, node: fx.Node, function: Any, examples: Any) -> Flow:
        try:
            with torch.no_grad():
                example = function(*examples)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise DeployError(f"it does not fit its inputs: {str(error).splitlines()[0]}") from error
        if example.numel() > MOST:
            raise DeployError(f"it gives {tuple(example.shape)}; at most {MOST:,} elements are covered.")
        return Flow(node, example)

    def _path(self, name: str) -> str:
        path = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "node"
        path = f"n{path}" if path[0].isdigit() else path
        while hasattr(self._root, path):
            path += "_"
        return path


def same(a: float, b: float) -> bool:
    """Whether two scales are one."""
    return abs(a - b) <= _SAME * max(abs(a), abs(b))


def parts(weight: Const) -> list[Const]:
    """Return weights as a sum of as few 8-bit ones as it takes: one, unless a zero point makes them wider.

    ``w = Σᵢ ⌊(w + i) / k⌋`` over i = 0 … k − 1 (Hermite).
    """
    if weight.codes is None or weight.scale is None or (weight.codes.min() >= -128 and weight.codes.max() <= 127):
        return [weight]
    count = -(-int(np.abs(weight.codes).max()) // 127)
    codes = [(weight.codes + i) // count for i in range(count)]
    return [Const(part * weight.scale, part, weight.scale) for part in codes]


def signed(quantize: Quantize) -> Quantize:
    """Return the same levels as INT8, for the input of the chip."""
    shift = 128 if quantize.dtype is UINT8 else 0
    return Quantize(quantize.scale, quantize.zero_point - shift, INT8, quantize.low - shift, quantize.high - shift)


def _each(arguments: Any, pick: Callable[[Flow], Any]) -> Any:
    if isinstance(arguments, list | tuple):
        return type(arguments)(_each(item, pick) for item in arguments)
    return pick(arguments) if isinstance(arguments, Flow) else arguments


def _coded(name: str, codes: NDArray[np.int64], scale: NDArray[np.float64]) -> QuantizedWeight:
    steps = np.broadcast_to(scale, codes.shape).reshape(len(codes), -1)
    if (steps != steps[:, :1]).any():
        raise DeployError(f"'{name}' has weights with scales along another axis than its outputs.")
    each = steps[:, 0]
    return QuantizedWeight(codes.astype(np.int8), each[:1] if (each == each[0]).all() else each.copy(), _book(codes))


def _book(codes: NDArray[np.int64]) -> Codebook:
    """Return the codebook with the fewest bits that holds all codes."""
    return next(book for book in CODEBOOKS.values() if book.dtype.allows(codes))
