"""Lowering: walks a traced module and builds the checked, range-proved integer graph."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, fx, nn

from bitq.core.errors import DeployError
from bitq.data.dataset import InputSpec
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, Op, Requantize
from bitq.ir.ranges import prove
from bitq.ir.types import INT8, INT32, UINT7, UINT8, TensorType
from bitq.lowering.builder import INPUT, WINNER, Builder, Lazy, Stored, Value
from bitq.lowering.calls import path_of, results
from bitq.lowering.common import channels_last, order, real
from bitq.lowering.fixed import halved
from bitq.lowering.heads import as_errors
from bitq.lowering.imports.roundings import Quantize, pin
from bitq.lowering.instead import instead_of, instead_of_call, title
from bitq.lowering.modules import MODULES, lowering_of
from bitq.lowering.sequences import Turn
from bitq.lowering.shapes import Arranged, torch_order
from bitq.lowering.standins import Rearranged
from bitq.lowering.trace import observe, trace
from bitq.quant.quantizer import QuantizedModel

PROBE = 16  # rows on which the calls of a network, one by one, have to give what it gives


def lower(
    quantized: QuantizedModel,
    calibration: Tensor,
    spec: InputSpec,
    *,
    name: str = "model",
    classify: bool = True,
    activation_bits: int = 8,
) -> Graph:
    """Turn a quantized torch model into an integer graph.

    A model that returns several tensors has several outputs, in that order; a dict's values count.

    Args:
        quantized: plain module with rounded weights, and their codes.
        calibration: real inputs ``(n, *shape)``, a few hundred to a few thousand training rows; their ranges
            set the scales of the activations.
        spec: integer encoding of the input.
        name: C identifier of the model.
        classify: whether the entry point returns the index of the largest score of the first output.
        activation_bits: of activations that are never negative, and of the input: 8, or 7, which halves their steps
            so that cores with the DSP extension add 1-bit layers up in fewer instructions.

    Raises:
        DeployError: a module is not covered, or a weight is in float or has changed; names it.
        RangeError: an accumulator may not fit in 32 bits.
    """
    _refuse_changed(quantized)
    traced = trace(quantized.model, calibration[:PROBE], classify=classify)
    for node in sorted(traced.graph.nodes, key=lambda node: node.op != "call_module"):
        _refuse_strangers(node, traced)
    seen = observe(traced, calibration)
    pin(traced, seen)
    as_errors(traced, seen)
    builder = Builder(quantized.weights, seen, UINT8 if activation_bits == 8 else UINT7)
    outputs: list[str] = []
    last = (spec.shape[-1], *spec.shape[:-1]) if spec.channels_last else spec.shape
    shape = channels_last(last)
    source = TensorType(shape, INT8, spec.scale, spec.zero_point)
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            builder.set(node, _input(source, spec, builder if activation_bits == 7 else None))
        elif node.op == "output":
            outputs = [_scores(builder, value).name for value in _results(node)]
        else:
            module = traced.get_submodule(str(node.target))
            lowering = lowering_of(module)
            assert lowering is not None  # `_refuse_strangers` was there before
            builder.set(node, lowering(builder, node, module))
    ops = list(builder.ops)
    if classify:
        ops.append(ArgMax(name=WINNER, inputs=(outputs[0],), out=TensorType((1,), INT32, 1.0)))
    graph = Graph(name, source, _read(ops, outputs), tuple(outputs), WINNER if classify else None)
    prove(check(graph))
    return graph


def _scores(builder: Builder, node: fx.Node) -> Stored:
    """Return an output; a vector is in the order of torch, whatever it was flattened from."""
    value = builder.value(node)
    if isinstance(value, Stored) and value.flat_from is not None and len(order(value)) > 1:
        builder.set(node, Arranged(str(node.target), replace(value, flat_from=None), torch_order(value)))
    return builder.scores(node)


def _halved(builder: Builder, x: Stored) -> Stored:
    """Append the step from the 8 bits of the input to 7."""
    out, rescale = halved(x.type)
    name = builder.name(f"{INPUT}_halved")
    builder.add(Requantize(name=name, inputs=(x.name,), out=out, rescale=rescale))
    return replace(x, name=name, type=out)


def _read(ops: list[Op], outputs: list[str]) -> tuple[Op, ...]:
    """Return the operations that lead to an output."""
    needed, kept = {*outputs, WINNER}, list[Op]()
    for op in reversed(ops):
        if op.name in needed:
            needed.update(op.inputs)
            kept.append(op)
    return tuple(reversed(kept))


def _refuse_changed(quantized: QuantizedModel) -> None:
    """Refuse a model whose weights are not those of its codes any more.

    Raises:
        DeployError: names the first.
    """
    parameters = dict(quantized.model.named_parameters())
    for name, weight in quantized.weights.items():
        if name in parameters:
            found, rounding = real(parameters[name]), torch.finfo(parameters[name].dtype).eps
            meant = weight.codes * weight.scale.reshape(-1, *[1] * (weight.codes.ndim - 1))
            if not np.allclose(found, meant, rtol=4 * rounding, atol=0):
                raise DeployError(
                    f"{name} has changed since it was rounded, by an average of weights, say, or a forward pass that "
                    "limits it; let the rounding come last: finish(), then lower."
                )


def _refuse_strangers(node: fx.Node, traced: fx.GraphModule) -> None:
    """Refuse a layer, a function or a parameter that is not covered.

    Raises:
        DeployError: names it, where it stands, and what could replace it.
    """
    if node.op in ("call_function", "call_method", "get_attr"):
        where = f" of '{path_of(node)}'" if path_of(node) else ""
        if node.op == "get_attr":
            reader = next(iter(node.users))
            known = node.target in dict(traced.named_parameters())
            what = f"parameter '{node.target}'" if known else "a constant, or what is computed of parameters alone,"
            raise DeployError(
                f"{what} is read in the forward pass{where} by '{title(reader)}', which cannot be "
                f"lowered; give it to a layer that has it: {instead_of_call(reader) or 'nn.Linear for x @ weight'}."
            )
        instead = instead_of_call(node)
        instead = f"Use {instead}." if instead else f"Covered: {_covered()}, and functions that mean the same."
        raise DeployError(f"'{title(node)}' in the forward pass{where} cannot be lowered. {instead}")
    if node.op == "call_module" and lowering_of(module := traced.get_submodule(str(node.target))) is None:
        instead = f"Use {instead_of(module)}." if instead_of(module) else f"Covered: {_covered()}."
        raise DeployError(f"layer '{node.target}' ({type(module).__name__}) cannot be lowered. {instead}")


def reads_channels_last(model: nn.Module, rows: Tensor) -> bool:
    """Whether a network reads its input as ``(batch, time, channels)`` or ``(batch, height, width, channels)``.

    Args:
        model: any module of one input.
        rows: real inputs ``(n, *shape)``.
    """
    traced = trace(model, rows[:PROBE])
    return all(_is_turned(node, traced, rows.dim()) for node in traced.graph.nodes if node.op == "placeholder")


def _is_turned(node: fx.Node, traced: fx.GraphModule, rank: int) -> bool:
    """Whether all that read a value move its last axis to the place of the channels, roundings and flips aside."""
    sizes = (2, 3, 5, 7)[:rank]
    for user in node.users:
        module = traced.get_submodule(str(user.target)) if user.op == "call_module" else None
        moved = _moved(module, sizes)
        aside = isinstance(module, Quantize) or moved == sizes
        if not (_is_turned(user, traced, rank) if aside else moved == (2, sizes[-1], *sizes[1:-1])):
            return False
    return rank in (3, 4)


def _moved(module: nn.Module | None, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of what a module gives that does nothing but move elements."""
    if not (isinstance(module, Rearranged) or (isinstance(module, Turn) and isinstance(module.inner, nn.Identity))):
        return ()
    try:
        return tuple(module(torch.empty(sizes)).shape)
    except (RuntimeError, IndexError, TypeError):  # it is for another number of dimensions
        return ()


def _input(source: TensorType, spec: InputSpec, halving: Builder | None) -> Value | Lazy:
    """Return the input as torch has it; ``halving`` takes the step from its 8 bits to 7, if any."""
    x = Stored(INPUT, source, (spec.shape[-1], *spec.shape[:-1]) if spec.channels_last else spec.shape)
    if halving is not None:
        x = _halved(halving, x)
    return Arranged(INPUT, x, np.arange(source.size).reshape(spec.shape)) if spec.channels_last else x


def _results(node: fx.Node) -> list[fx.Node]:
    """Return what the forward pass returns: one tensor, or several in whatever holds them."""
    nodes = results(node.args[0])
    if not nodes:
        raise DeployError("the model returns nothing that is computed; tensors are expected, one or several.")
    if len(set(nodes)) < len(nodes):
        raise DeployError("the model returns a value twice; return each once.")
    return nodes


def _covered() -> str:
    """Return the layers that are covered, in few words: without their dimensions, and activations together."""
    kinds = [kind for kind in MODULES if kind.__module__.startswith("torch.nn")]
    named = [kind for kind in kinds if not kind.__module__.endswith((".activation", ".dropout"))]
    names = {re.sub("[12]d$", "", kind.__name__) for kind in named} | {"RNN", "GRU", "LSTM"}
    return f"{', '.join(sorted(names))}, dropout, the usual activations"
