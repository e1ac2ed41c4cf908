"""Rules that operations share, and the one way in which a broken rule is reported."""

from __future__ import annotations

import math

from bitq.core.errors import DeployError
from bitq.ir.ops.base import Op
from bitq.ir.types import BYTES, INT32, WEIGHT_DTYPES, Rescale, TensorType, Weights

MOST_ELEMENTS = 2**24


def rule(holds: bool, node: str, text: str) -> None:
    """Refuse a graph unless a rule holds.

    Raises:
        DeployError: names the node and the rule.
    """
    if not holds:
        raise DeployError(f"integer graph, node '{node}' breaks the rule: {text}.")


def one_input(op: Op, inputs: tuple[TensorType, ...]) -> TensorType:
    """Return the only input."""
    rule(len(inputs) == 1, op.name, f"one input, got {len(inputs)}")
    return inputs[0]


def reads_bytes(op: Op, inputs: tuple[TensorType, ...]) -> None:
    """Every input is an 8-bit activation."""
    for value in inputs:
        rule(value.dtype in BYTES, op.name, f"it reads 8-bit activations, got {value.dtype.name}")


def keeps_type(op: Op, inputs: tuple[TensorType, ...]) -> None:
    """The output has number format and zero point of every input."""
    same = {(value.dtype.name, value.zero_point) for value in (op.out, *inputs)}
    rule(len(same) == 1, op.name, "it keeps the type of its input")


def shape_fits(name: str, value: TensorType) -> None:
    """A value has one to three dimensions and not more elements than any chip could hold."""
    sizes = value.shape
    rule(1 <= len(sizes) <= 3 and min(sizes) >= 1, name, f"a shape is one to three positive sizes, got {sizes}")
    rule(math.prod(sizes) <= MOST_ELEMENTS, name, f"a value has at most {MOST_ELEMENTS} elements, got {sizes}")


def weights_fit(name: str, weights: Weights, dimensions: int) -> None:
    """Codes of a codebook for weights, in as many dimensions as the operation needs."""
    shape, scales = weights.codes.shape, weights.scale.shape
    rule(len(shape) == dimensions, name, f"its weights have {dimensions} dimensions, got {shape}")
    rule(weights.dtype.name in WEIGHT_DTYPES, name, f"{weights.dtype.name} is a codebook for weights")
    rule(scales in ((1,), (shape[0],)), name, f"one scale, or one per output channel, got {scales}")


def zero_point_fits(name: str, value: TensorType) -> None:
    """The zero point is an integer of the type."""
    holds = value.dtype.low <= value.zero_point <= value.dtype.high
    rule(holds, name, f"its zero point {value.zero_point} lies within {value.dtype.name}")


def rescales(op: Op, rescale: Rescale | None) -> None:
    """A rescale fits the output; without one the output is the accumulator."""
    if rescale is None:
        rule(op.out.dtype is INT32, op.name, "without rescale it gives INT32")
        return
    rescale_fits(op.name, rescale, op.out)


def rescale_fits(name: str, rescale: Rescale, out: TensorType) -> None:
    """A rescale leads to a type."""
    channels, dtype = out.shape[-1], out.dtype
    rule(rescale.multiplier.shape in ((1,), (channels,)), name, f"1 or {channels} multipliers")
    rule(bool((rescale.multiplier >= 1).all()), name, "multipliers are 1..32767")
    rule(0 <= rescale.pre_shift <= 15 and 0 <= rescale.shift <= 30, name, "shifts are 0..15 and 0..30")
    rule(dtype.low <= rescale.low <= rescale.high <= dtype.high, name, f"the clamp lies within {dtype.name}")
    rule(rescale.zero_point == out.zero_point, name, "rescale and output share a zero point")
