"""The rules that a valid graph obeys; a broken one is refused by the name of the node and of the rule."""

from __future__ import annotations

import re

from bitq.core.errors import DeployError
from bitq.ir.graph import Graph, rescale_of
from bitq.ir.ops import Add, ArgMax, AvgPool, Concat, Conv, Dense, Flatten, MaxPool, Op, Pair
from bitq.ir.types import INT8, INT32, UINT8, TensorType


def check(graph: Graph) -> Graph:
    """Return the graph if it obeys every rule.

    Raises:
        DeployError: names the node, the rule and the values that break it.
    """
    _rule(
        re.fullmatch(r"[a-z][a-z0-9_]{0,30}", graph.name) is not None,
        graph.name,
        "the name is a C identifier",
    )
    _rule(graph.input.dtype is INT8, "input", "the caller's input is INT8")
    _check_zero_point(graph.input_name, graph.input)
    types = {graph.input_name: graph.input}
    for op in graph.ops:
        _rule(op.name not in types, op.name, "every value is assigned once")
        missing = [name for name in op.inputs if name not in types]
        _rule(not missing, op.name, f"inputs exist before they are read (missing: {', '.join(missing)})")
        _check_op(op, [types[name] for name in op.inputs])
        types[op.name] = op.out
    _rule(bool(graph.outputs), graph.name, "a graph has an output")
    for name in graph.outputs:
        _rule(name in types and types[name].dtype is INT32, name, "outputs exist and are INT32")
    if graph.winner is not None:
        arg_max = {op.name for op in graph.ops if isinstance(op, ArgMax)}
        _rule(graph.winner in arg_max, graph.winner, "the winner is an ArgMax of the graph")
    return graph


def infer_shape(op: Op, x: TensorType, *others: TensorType) -> tuple[int, ...]:
    """Return the output shape that an operation must have for inputs of these types."""
    match op:
        case Dense():
            return (len(op.weights.codes),)
        case Conv():
            return (*_slide(op, x, op.reach, op.stride, op.padding), len(op.weights.codes))
        case MaxPool():
            return (*_slide(op, x, op.kernel, op.stride, op.padding), x.shape[2])
        case AvgPool():
            return (*_slide(op, x, op.kernel, op.stride, ((0, 0), (0, 0))), x.shape[2])
        case Concat():
            return (*x.shape[:-1], sum(value.shape[-1] for value in (x, *others)))
        case Flatten():
            return (x.size,)
        case ArgMax():
            return (1,)
        case _:
            return x.shape


def _slide(op: Op, x: TensorType, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair]) -> Pair:
    _rule(len(x.shape) == 3, op.name, f"its input is (height, width, channels), got {x.shape}")
    height = (x.shape[0] + sum(padding[0]) - kernel[0]) // stride[0] + 1
    width = (x.shape[1] + sum(padding[1]) - kernel[1]) // stride[1] + 1
    _rule(height > 0 and width > 0, op.name, f"the kernel {kernel} fits into the padded input {x.shape}")
    return height, width


def _check_op(op: Op, inputs: list[TensorType]) -> None:
    match op:
        case Add():
            _rule(len(inputs) == 2, op.name, f"two inputs, got {len(inputs)}")
            _rule(inputs[0].shape == inputs[1].shape, op.name, "its inputs have one shape")
            _rule(not op.rescale.per_channel, op.name, "one multiplier for all channels of a sum")
            _rule(1 <= min(op.multipliers) <= max(op.multipliers) <= 32767, op.name, "multipliers are 1..32767")
        case Concat():
            _rule(len(inputs) >= 2, op.name, f"two inputs or more, got {len(inputs)}")
            _rule(len({value.shape[:-1] for value in inputs}) == 1, op.name, "its inputs have the same places")
        case _:
            _rule(len(inputs) == 1, op.name, f"one input, got {len(inputs)}")
    x = inputs[0]
    if isinstance(op, Dense | Conv):
        fan_in = x.size if isinstance(op, Dense) else op.weights.codes.shape[3] * op.groups
        expected = op.weights.codes.shape[1] if isinstance(op, Dense) else x.shape[-1]
        _rule(fan_in == expected, op.name, f"weights {op.weights.codes.shape} match the input {x.shape}")
        _rule(op.bias.shape == (len(op.weights.codes),), op.name, "one bias per output channel")
    if isinstance(op, Conv):
        _rule(len(op.bias) % op.groups == 0, op.name, f"its {len(op.bias)} outputs divide into {op.groups} groups")
        _rule(min(op.dilation) >= 1, op.name, f"a dilation is at least 1, got {op.dilation}")
    if not isinstance(op, Flatten | ArgMax):
        for value in inputs:
            _rule(value.dtype in (INT8, UINT8), op.name, f"it reads 8-bit activations, got {value.dtype.name}")
    expected_shape = infer_shape(op, *inputs)
    _rule(op.out.shape == expected_shape, op.name, f"its output is {expected_shape}, declared {op.out.shape}")
    _check_zero_point(op.name, op.out)
    _check_rescale(op)
    if isinstance(op, MaxPool | Flatten | Concat):
        same = {(value.dtype.name, value.zero_point) for value in (op.out, *inputs)}
        _rule(len(same) == 1, op.name, "it keeps the type of its input")


def _check_zero_point(name: str, value: TensorType) -> None:
    holds = value.dtype.low <= value.zero_point <= value.dtype.high
    _rule(holds, name, f"its zero point {value.zero_point} lies within {value.dtype.name}")


def _check_rescale(op: Op) -> None:
    rescale = rescale_of(op)
    if rescale is None:
        _rule(
            op.out.dtype is INT32 or isinstance(op, MaxPool | Flatten | Concat),
            op.name,
            "without rescale it gives INT32",
        )
        return
    channels = op.out.shape[-1]
    _rule(len(rescale.multiplier) in (1, channels), op.name, f"1 or {channels} multipliers")
    _rule(bool((rescale.multiplier >= 1).all()), op.name, "multipliers are 1..32767")
    _rule(0 <= rescale.pre_shift <= 15 and 0 <= rescale.shift <= 30, op.name, "shifts are 0..15 and 0..30")
    dtype = op.out.dtype
    _rule(dtype.low <= rescale.low <= rescale.high <= dtype.high, op.name, f"the clamp lies within {dtype.name}")
    _rule(rescale.zero_point == op.out.zero_point, op.name, "rescale and output share a zero point")


def _rule(holds: bool, node: str, rule: str) -> None:
    if not holds:
        raise DeployError(f"integer graph, node '{node}' breaks the rule: {rule}.")
