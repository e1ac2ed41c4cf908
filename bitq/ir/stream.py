"""A recurrent network one sample at a time: the graph of one step, from the samples that its convolutions span.

From a reset on, the scores of step n are those of the whole graph over the first ``samples + (n − 1) · stride``
samples; so one that was trained on windows gives at the end of its first window what it gives for that window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bitq.core.errors import DeployError
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import Add, AvgPool, Concat, Conv, Lookup, MaxPool, Mul, Op, Ramp, Recurrent, Requantize
from bitq.ir.types import TensorType

_POINTWISE = (Add, Concat, Lookup, Mul, Ramp, Requantize)


@dataclass(frozen=True, eq=False)
class Stream:
    """How a graph runs sample by sample.

    Attributes:
        graph: one step; its input is the latest samples, and its recurrent layers run over one step, from the state
            that the caller keeps.
        samples: how many samples a step reads.
        stride: samples from one step to the next.
        every: steps from one class to the next.
        first: steps from a reset to the first class; a class falls on the end of the whole graph's window.
    """

    graph: Graph
    samples: int
    stride: int
    every: int
    first: int


def stream_of(graph: Graph, hop: int) -> Stream:
    """Return how a graph runs sample by sample.

    Args:
        graph: a checked graph over a sequence: convolutions and pools without padding, then recurrent layers that
            run forwards, then what reads one step of them.
        hop: samples from one class to the next, a multiple of all strides together.

    Raises:
        DeployError: the graph needs more than the past, or has no recurrent layer; names the layer.
    """
    types = graph.types()
    layers = [op for op in graph.ops if isinstance(op, Recurrent)]
    if not layers:
        raise DeployError(f"graph '{graph.name}' cannot stream: it has no recurrent layer; run it on windows.")
    steps = {types[op.inputs[0]].shape[1] for op in layers}
    if len(steps) > 1:
        raise DeployError(f"graph '{graph.name}' cannot stream: its recurrent layers run over unlike lengths.")
    samples, stride = _span(graph, layers[0])
    if hop < 1 or hop % stride:
        raise DeployError(f"graph '{graph.name}': a hop of {hop} samples; allowed: multiples of {stride}.")
    ops, known = list[Op](), {graph.input_name: replace(graph.input, shape=(1, samples, graph.input.shape[2]))}
    for op in graph.ops:
        shapes = [types[name] for name in op.inputs]
        _require_past(op, shapes, within=known[op.inputs[0]].shape[1:2] == (1,))
        op = replace(op, pick=None if op.pick is None else 0) if isinstance(op, Recurrent) else op
        ops.append(replace(op, out=replace(op.out, shape=op.infer_shape(*(known[name] for name in op.inputs)))))
        known[op.name] = ops[-1].out
    step = check(replace(graph, input=known[graph.input_name], ops=tuple(ops)))
    every = hop // stride
    return Stream(step, samples, stride, every, (steps.pop() - 1) % every + 1)


def _span(graph: Graph, layer: Op) -> tuple[int, int]:
    """Return the samples that one step of a layer's input reads, and those from one step to the next."""
    made = {op.name: op for op in graph.ops}
    samples = stride = 1
    name = layer.inputs[0]
    while name in made:
        op = made[name]
        kernel, step = _window(op)
        samples, stride = (samples - 1) * step + kernel, stride * step
        name = op.inputs[0]
    if stride > samples:
        raise DeployError(f"graph '{graph.name}' cannot stream: its strides leave out samples.")
    return samples, stride


def _window(op: Op) -> tuple[int, int]:
    """Return how many places along time an operation reads, and how far it moves."""
    match op:
        case Conv():
            return op.reach[1], op.stride[1]
        case AvgPool() | MaxPool():
            return op.kernel[1], op.stride[1]
        case _:
            return 1, 1


def _require_past(op: Op, inputs: list[TensorType], *, within: bool) -> None:
    """Refuse what needs later samples, or, ``within`` steps, other steps."""
    if len(inputs[0].shape) < 3:
        return
    name = op.layer or op.name
    if isinstance(op, Conv | MaxPool) and op.padding != ((0, 0), (0, 0)):
        raise DeployError(f"layer {name} cannot stream: it pads the sequence; use padding=0.")
    if isinstance(op, Recurrent) and (op.reverse or op.pick not in (None, inputs[0].shape[1] - 1)):
        raise DeployError(f"layer {name} cannot stream: it reads later steps; run forwards and read the last step.")
    alone = isinstance(op, (Recurrent, *_POINTWISE)) or _window(op) == (1, 1)
    whole = not isinstance(op, (Conv, AvgPool, MaxPool, Recurrent, *_POINTWISE))
    if whole or (within and not alone):
        raise DeployError(f"layer {name} cannot stream: it reads more than one step; read the last step, out[:, -1].")
