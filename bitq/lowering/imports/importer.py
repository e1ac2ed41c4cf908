"""The growing torch module while a file is imported: constants, values, and the layers between them.

Every value of the file is a torch value up to an affine map that the file's integers imply, so integer layers and
real ones are the same torch layers; what the file says of formats stands in `Quantize` modules and in the codes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.func import functional_call

from bitq.core.errors import DeployError
from bitq.data.dataset import InputSpec
from bitq.ir.types import INT8, DType
from bitq.lowering.imports.folding import MOST
from bitq.lowering.imports.roundings import Quantize, signed
from bitq.lowering.imports.values import Const, Flow, Order, same
from bitq.quant.codebook import CODEBOOKS, Codebook
from bitq.quant.matrix import QuantizedWeight


class Importer:
    """Builds a torch module, one node of the file after the other.

    Attributes:
        tensors: what the file's names stand for so far.
        weights: codes by parameter name.
        spec: integer encoding of the input, where the file gives one.
        rows: how many rows the file takes at once, 1 where it takes any number.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Const | Flow] = {}
        self.weights: dict[str, QuantizedWeight] = {}
        self.spec: InputSpec | None = None
        self.rows = 1
        self._graph = fx.Graph()
        self._root = nn.Module()
        self._input: fx.Node | None = None
        self._integers: DType | None = None
        self._settled: dict[tuple[fx.Node, tuple[Order, ...]], Flow] = {}
        self._name = ""

    def input(self, name: str, shape: tuple[int, ...], dtype: DType | None, batch: int = 0, rows: int = 1) -> None:
        """Add the input, of a shape without the batch; of INT8 or UINT8 where the file takes integers.

        Args:
            name: in the file.
            shape: of one row.
            dtype: None for real numbers.
            batch: which axis in the file is the batch.
            rows: how many rows the file takes at once, 1 where it takes any number.
        """
        self._integers, self._name, self.rows = dtype, name, rows
        self._input = self._graph.placeholder("x")
        value = Flow(self._input, torch.zeros(1, *shape, device="meta"), integers=dtype is not None)
        order = (*range(1, batch + 1), 0, *range(batch + 1, len(shape) + 1))
        self.tensors[name] = value.through(value.seen.permuted(order))

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
            value = self.settled(value.through(value.seen.batch_first()))
            nodes.append(value.node if value.integers else self._real(name, value).node)
        self._graph.output(nodes[0] if len(nodes) == 1 else tuple(nodes))
        model = fx.GraphModule(self._root, self._graph).eval()
        model.graph.eliminate_dead_code()
        model.recompile()
        return model

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
        """Return a value that depends on the input, its axes in the order of the file.

        Raises:
            DeployError: it is a constant, or its first axis is not the batch.
        """
        value = self.tensors[name]
        if isinstance(value, Const):
            raise DeployError(f"'{name}' is a constant; a value that depends on the input is needed there.")
        return self.settled(value)

    def settled(self, value: Flow) -> Flow:
        """Return a value whose node has the axes of the file, in that order.

        Raises:
            DeployError: the first of them is not the batch.
        """
        if (view := value.view) is None:
            return value
        if view.batch != 0:
            raise DeployError(f"the batch is axis {view.batch} of what it reads; transpose it to the front before")
        key = (value.node, view.axes)
        if key not in self._settled:
            parts = [part for axis in view.axes for part in axis]
            parts += [part for part in range(len(view.sizes)) if part not in parts]
            made = Flow(value.node, view.held)
            moving = [part for part in parts if part == 0 or view.sizes[part] > 1]
            if moving != sorted(moving):
                if view.sizes != tuple(view.held.shape):
                    made = self.apply(torch.reshape, made, (-1, *view.sizes[1:]))
                made = self.apply(torch.permute, made, tuple(parts))
            if made.example.shape != value.example.shape:
                shape = (-1, *value.example.shape[1:])
                flat = len(shape) == 2
                made = self.apply(torch.flatten, made, 1) if flat else self.apply(torch.reshape, made, shape)
            self._settled[key] = made
        made = self._settled[key]
        return replace(value, node=made.node, example=made.example, view=None)

    def real(self, name: str, order: tuple[int, ...] | None = None) -> Flow:
        """Return a value as the numbers that the file means, an affine layer being added where they differ.

        Args:
            name: of the file's tensor.
            order: of its axes, if another one than the file's is wanted.

        Raises:
            DeployError: it is the input as integers, which have no scale; or its first axis is not the batch.
        """
        value = self.tensors[name]
        if order is None or isinstance(value, Const):
            return self._real(name, self.flow(name))
        return self._real(name, self.settled(value.through(value.seen.permuted(order))))

    def _real(self, name: str, value: Flow) -> Flow:
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
        value = self.tensors[name]
        if isinstance(value, Const):
            value = self.flow(name)
        if value.node is self._input and self.spec is None:
            kind = self._integers or INT8
            rounding = signed(Quantize(scale, zero, kind, kind.low, kind.high))
            self.spec = InputSpec(tuple(value.seen.held.shape[1:]), scale, rounding.zero_point)
            # From now on the input is a real value, rounded to what the file's integers can say.
            made = self.call("rounded", rounding, Flow(value.node, value.seen.held))
            self.tensors[name] = value = replace(value, node=made.node, factor=1 / scale, zero=zero, integers=True)
        if not same(value.factor * scale, 1.0) or value.zero != zero:
            raise DeployError(
                f"'{name}' is made with scale {1 / value.factor:g} and zero point {value.zero:g}, but read with "
                f"{scale:g} and {zero}; requantize it in the file."
            )
        return replace(value, factor=1.0, zero=0.0, integers=False)

    def encode(self, value: Flow, rounding: Quantize) -> None:
        """Take a rounding of the input as its integer encoding, the first one where there are several."""
        if self.spec is None:
            self.spec = InputSpec(tuple(value.seen.held.shape[1:]), rounding.scale, rounding.zero_point)

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

    def split(self, node: fx.Node, *places: int) -> fx.Node:
        """Add the part of a tuple, or of a tensor, at a place, and within that the next."""
        for place in places:
            node = self._graph.call_function(operator.getitem, (node, place))
        return node

    def recurrent(self, name: str, module: nn.RNNBase, x: Flow, weights: dict[str, Const]) -> fx.Node:
        """Add a recurrent module with weights by name; its node gives a tuple."""
        path = self._path(name)
        self._root.add_module(path, module.eval())
        for parameter, weight in weights.items():
            with torch.no_grad():
                module.get_parameter(parameter).copy_(torch.tensor(weight.array))
            if weight.codes is not None and weight.scale is not None:
                self.weights[f"{path}.{parameter}"] = _coded(name, weight.codes, weight.scale)
        return self._graph.call_module(path, (x.node,))

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
