"""Lowering: walks a traced module and builds the checked, range-proved integer graph."""

from __future__ import annotations

from torch import Tensor, fx, nn

from bitq.core.errors import DeployError
from bitq.data.dataset import InputSpec
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, Op
from bitq.ir.ranges import prove
from bitq.ir.types import INT8, INT32, TensorType
from bitq.lowering.builder import INPUT, WINNER, Builder, Lazy, Stored, Value
from bitq.lowering.calls import path_of
from bitq.lowering.common import channels_last
from bitq.lowering.heads import as_errors
from bitq.lowering.imports.importer import pin
from bitq.lowering.modules import INSTEAD, MODULES
from bitq.lowering.sequences import Turn
from bitq.lowering.trace import observe, trace
from bitq.quant.quantizer import QuantizedModel


def lower(
    quantized: QuantizedModel, calibration: Tensor, spec: InputSpec, *, name: str = "model", classify: bool = True
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

    Raises:
        DeployError: a module is not covered, or a weight is in float; names the module.
        RangeError: an accumulator may not fit in 32 bits.
    """
    traced = trace(quantized.model)
    seen = observe(traced, calibration)
    pin(traced, seen)
    as_errors(traced, seen)
    builder = Builder(quantized.weights, seen)
    outputs: list[str] = []
    shape = (1, *spec.shape) if spec.channels_last else channels_last(spec.shape)
    source = TensorType(shape, INT8, spec.scale, spec.zero_point)
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            if spec.channels_last and not _is_turned(node, traced):
                raise DeployError(
                    "InputSpec.channels_last=True is for an input that a recurrent module reads first; "
                    "this network reads (batch, channels, …)."
                )
            builder.set(node, Stored(INPUT, source, spec.shape))
        elif node.op == "output":
            outputs = [builder.scores(value).name for value in _results(node)]
        else:
            builder.set(node, _lower_node(builder, node, traced))
    ops = list(builder.ops)
    if classify:
        ops.append(ArgMax(name=WINNER, inputs=(outputs[0],), out=TensorType((1,), INT32, 1.0)))
    graph = Graph(name, source, _read(ops, outputs), tuple(outputs), WINNER if classify else None)
    prove(check(graph))
    return graph


def _read(ops: list[Op], outputs: list[str]) -> tuple[Op, ...]:
    """Return the operations that lead to an output."""
    needed, kept = {*outputs, WINNER}, list[Op]()
    for op in reversed(ops):
        if op.name in needed:
            needed.update(op.inputs)
            kept.append(op)
    return tuple(reversed(kept))


def _lower_node(builder: Builder, node: fx.Node, traced: fx.GraphModule) -> Value | Lazy:
    if node.op != "call_module":
        function = getattr(node.target, "__name__", node.target)
        where = f" of '{path_of(node)}'" if path_of(node) else ""
        if node.op == "get_attr":
            raise DeployError(
                f"parameter '{node.target}' is read in the forward pass{where}, which cannot be lowered; give it to "
                "a layer, such as nn.Linear for F.linear or x @ weight."
            )
        raise DeployError(
            f"'{function}' in the forward pass{where} cannot be lowered; use what is covered: {_covered()}, and the "
            "functions and methods that mean the same."
        )
    module = traced.get_submodule(str(node.target))
    lowering = MODULES.get(type(module))
    if lowering is None:
        instead = f" Use {INSTEAD[type(module)]}." if type(module) in INSTEAD else ""
        raise DeployError(
            f"layer '{node.target}' ({type(module).__name__}) cannot be lowered.{instead} Covered: {_covered()}."
        )
    return lowering(builder, node, module)


def reads_channels_last(model: nn.Module) -> bool:
    """Whether a network reads its input as ``(batch, time, channels)``."""
    traced = trace(model)
    return all(_is_turned(node, traced) for node in traced.graph.nodes if node.op == "placeholder")


def _is_turned(placeholder: fx.Node, traced: fx.GraphModule) -> bool:
    readers = [traced.get_submodule(str(user.target)) for user in placeholder.users if user.op == "call_module"]
    return len(readers) == len(placeholder.users) and all(
        isinstance(reader, Turn) and isinstance(reader.inner, nn.Identity) for reader in readers
    )


def _results(node: fx.Node) -> list[fx.Node]:
    """Return what the forward pass returns: one tensor, or several in a tuple, list or dict."""
    result = node.args[0]
    values = list(result.values()) if isinstance(result, dict) else result
    values = [values] if isinstance(values, fx.Node) else values
    if not isinstance(values, list | tuple) or not all(isinstance(value, fx.Node) for value in values):
        raise DeployError(f"the model returns {type(result).__name__}; tensors are expected, one or several.")
    nodes = [value for value in values if isinstance(value, fx.Node)]
    if len(set(nodes)) < len(nodes):
        raise DeployError("the model returns a value twice; return each once.")
    return nodes


def _covered() -> str:
    return ", ".join(sorted(t.__name__ for t in MODULES if t.__module__.startswith("torch")))
