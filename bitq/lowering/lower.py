"""Lowering: walks a traced module and builds the checked, range-proved integer graph."""

from __future__ import annotations

from torch import Tensor, fx, nn

from bitq.core.errors import DeployError
from bitq.data.dataset import InputSpec
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax
from bitq.ir.ranges import prove
from bitq.ir.types import INT8, INT32, TensorType
from bitq.lowering.builder import INPUT, WINNER, Builder, Stored, Value
from bitq.lowering.calls import path_of
from bitq.lowering.modules import MODULES, channels_last
from bitq.lowering.sequences import Turn
from bitq.lowering.trace import observe, trace
from bitq.quant.quantizer import QuantizedModel


def lower(
    quantized: QuantizedModel, calibration: Tensor, spec: InputSpec, *, name: str = "model", classify: bool = True
) -> Graph:
    """Turn a quantized torch model into an integer graph.

    Args:
        quantized: plain module with rounded weights, and their codes.
        calibration: real inputs ``(n, *shape)``, a few hundred to a few thousand training rows; their ranges
            set the scales of the activations.
        spec: integer encoding of the input.
        name: C identifier of the model.
        classify: whether the entry point returns the index of the largest score.

    Raises:
        DeployError: a module is not covered, or a weight is in float; names the module.
        RangeError: an accumulator may not fit in 32 bits.
    """
    traced = trace(quantized.model)
    builder = Builder(quantized.weights, observe(traced, calibration))
    output: Stored | None = None
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
            output = builder.scores(_only(node))
        else:
            builder.set(node, _lower_node(builder, node, traced))
    assert output is not None
    ops = list(builder.ops)
    if classify:
        ops.append(ArgMax(name=WINNER, inputs=(output.name,), out=TensorType((1,), INT32, 1.0)))
    graph = Graph(name, source, tuple(ops), (output.name,), WINNER if classify else None)
    prove(check(graph))
    return graph


def _lower_node(builder: Builder, node: fx.Node, traced: fx.GraphModule) -> Value:
    if node.op != "call_module":
        function = getattr(node.target, "__name__", node.target)
        where = f" of '{path_of(node)}'" if path_of(node) else ""
        raise DeployError(
            f"'{function}' in the forward pass{where} cannot be lowered; use what is covered: {_covered()}, and the "
            "functions and methods that mean the same."
        )
    module = traced.get_submodule(str(node.target))
    lowering = MODULES.get(type(module))
    if lowering is None:
        raise DeployError(
            f"layer '{node.target}' ({type(module).__name__}) cannot be lowered. Covered: {_covered()}."
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


def _only(node: fx.Node) -> fx.Node:
    result = node.args[0]
    if not isinstance(result, fx.Node):
        raise DeployError(f"the model returns {type(result).__name__}; one tensor of scores is expected.")
    return result


def _covered() -> str:
    return ", ".join(sorted(t.__name__ for t in MODULES))
