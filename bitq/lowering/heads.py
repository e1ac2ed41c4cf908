"""What a task puts behind a network before it is lowered: the target's own units, or a reconstruction error."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from bitq.core.errors import DeployError
from bitq.ir.ops import SquaredError
from bitq.ir.types import INT32, TensorType
from bitq.lowering.builder import Builder, Pending, Stored, Value
from bitq.lowering.standins import Mean, Minus, Square, Whole
from bitq.lowering.trace import Seen
from bitq.quant.quantizer import QuantizedModel

Reals = NDArray[np.float64]


class MeanSquaredError(Whole):
    """``mean((y − x)²)`` of each row, ``(n, 1)``."""

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """Compare what a network gives with its input."""
        return (y.flatten(1) - x.flatten(1)).square().mean(dim=1, keepdim=True)


class _Compared(nn.Sequential):
    """Layers in a row, the last of which also sees the input."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        """Return the error of the reconstruction."""
        *layers, last = self
        y = input
        for layer in layers:
            y = layer(y)
        return last(y, input)


def in_units(quantized: QuantizedModel, mean: Reals, std: Reals) -> QuantizedModel:
    """Return a model whose outputs are ``y · std + mean``: the target itself where training standardized it.

    Args:
        quantized: with outputs ``(n, targets)``.
        mean: of each target, ``(targets,)``.
        std: of each target, ``(targets,)``.
    """
    units = nn.BatchNorm1d(len(mean), eps=0.0)
    with torch.no_grad():
        units.weight.copy_(torch.from_numpy(std))
        units.bias.copy_(torch.from_numpy(mean))
    return _behind(quantized, nn.Sequential, "units", units)


def reconstruction_error(quantized: QuantizedModel) -> QuantizedModel:
    """Return a model that gives the mean squared error of what an autoencoder makes of its input, ``(n, 1)``."""
    return _behind(quantized, _Compared, "error", MeanSquaredError())


def as_errors(traced: fx.GraphModule, seen: dict[str, Seen]) -> None:
    """Replace ``((y - x) ** 2).mean(…)`` over all of a row, written in a forward pass, by one layer."""
    for node in list(traced.graph.nodes):
        squared = _only_read(traced, node, Mean)
        difference = squared and _only_read(traced, squared, Square)
        if difference is None or not isinstance(traced.get_submodule(str(difference.target)), Minus):
            continue
        mean = traced.get_submodule(str(node.target))
        rank = len(seen[difference.name].shape) + 1
        assert isinstance(mean, Mean)
        if mean.total or {dim % rank for dim in mean.dim} != set(range(1, rank)) or len(difference.users) > 1:
            continue
        y, x = difference.args if _is_input(difference.args[1]) else reversed(difference.args)
        traced.add_submodule(f"{node.name}_error", MeanSquaredError())
        with traced.graph.inserting_after(node):
            error = traced.graph.call_module(f"{node.name}_error", (y, x))
        node.replace_all_uses_with(error)
    traced.graph.eliminate_dead_code()


def _only_read(traced: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> fx.Node | None:
    """Return what a module of a kind reads, if nobody else does."""
    if node.op != "call_module" or not isinstance(traced.get_submodule(str(node.target)), kind):
        return None
    source = node.args[0]
    return source if isinstance(source, fx.Node) and source.op == "call_module" and len(source.users) == 1 else None


def _is_input(value: Any) -> bool:
    return isinstance(value, fx.Node) and value.op == "placeholder"


def mean_squared_error(builder: Builder, node: fx.Node, module: MeanSquaredError) -> Value:
    """The sum of squares; the division is in the scale of the score."""
    layer, (output, source) = str(node.target), (arg for arg in node.args if isinstance(arg, fx.Node))
    value, x = builder.value(output), builder.stored(source)
    if int(np.prod(value.shape)) != x.type.size:
        raise DeployError(f"layer '{layer}' cannot be lowered: it compares {value.shape} with the input {x.shape}.")
    if value.shape != x.shape:
        value = _channels_last(layer, value, x)
    y = builder.cast(layer, value, x.type)
    out = TensorType((1,), INT32, x.type.scale**2 / x.type.size)
    name = builder.name(layer)
    builder.add(SquaredError(name=name, inputs=(y.name, x.name), out=out, layer=layer))
    return Stored(name, out, (1,))


def _channels_last(layer: str, value: Value, x: Stored) -> Value:
    """Return a flat reconstruction in the order in which the chip holds the input."""
    if len(x.type.shape) == 1 or (isinstance(value, Stored) and value.flat_from == x.shape):
        return value
    if not isinstance(value, Pending):
        raise DeployError(f"layer '{layer}' cannot be lowered: a dense layer has to give the reconstruction.")
    order = np.moveaxis(np.arange(x.type.size).reshape(x.shape), 0, -1).ravel()
    scale = value.weight.scale
    weight = replace(value.weight, scale=scale[order] if len(scale) > 1 else scale)
    return replace(value, codes=value.codes[order], weight=weight, gain=value.gain[order], offset=value.offset[order])


def _behind(
    quantized: QuantizedModel,
    sequence: Callable[[OrderedDict[str, nn.Module]], nn.Module],
    name: str,
    last: nn.Module,
) -> QuantizedModel:
    """Return a model with one more layer at its end; the names of a sequence's layers stay as they are."""
    model, weights = quantized.model, quantized.weights
    if type(model) is nn.Sequential and name not in dict(model.named_children()):
        layers = OrderedDict(model.named_children())
    else:
        layers = OrderedDict[str, nn.Module](net=model)
        weights = {f"net.{parameter}": weight for parameter, weight in weights.items()}
    layers[name] = last
    return QuantizedModel(sequence(layers), weights)
