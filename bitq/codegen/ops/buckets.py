"""Dense layers by buckets: weights as columns of bits, one byte for each input and group of eight columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bitq.codegen.constants import Fields, nested, struct
from bitq.codegen.ops import dense as loop
from bitq.codegen.ops.layer import Layer, Operand, Place
from bitq.codegen.ops.linear import linear_constants
from bitq.codegen.ops.printer import Printer
from bitq.codegen.pack import PACKINGS, Bytes
from bitq.ir.ops import Dense
from bitq.ir.types import Weights

_COLUMNS = 8


def columns(weights: Weights) -> Bytes:
    """Pack dense weights for buckets.

    A group holds as many outputs as fit with all bits of their weights, highest plane first, in its eight columns;
    column k is bit k of the group's bytes. Two groups, where there are two, go together: their bytes side by side,
    one pair of groups after the other.

    Args:
        weights: of a dense layer, ``(outputs, inputs)``.

    Returns:
        ``(bytes,)``, as many as groups times inputs; an odd group has an empty one at its side.
    """
    packing = PACKINGS[weights.dtype.name]
    bits, outputs = packing.field_bits, len(weights.codes)
    per_group = _COLUMNS // bits
    together = _groups(weights)
    groups = together * -(-outputs // (together * per_group))
    fields = ((weights.codes.astype(np.int16) + packing.offset) >> packing.widen).astype(np.uint8)
    fields = np.pad(fields, ((0, groups * per_group - outputs), (0, 0))).reshape(groups, per_group, -1)
    numbers = np.zeros((groups, fields.shape[2]), np.uint8)
    for output in range(per_group):
        for plane in range(bits):
            numbers |= (fields[:, output] >> (bits - 1 - plane) & 1) << (output * bits + plane)
    return np.concatenate([numbers[first : first + together].T.ravel() for first in range(0, groups, together)])


def dense(op: Dense, at: Place) -> Layer:
    """Print a dense layer; a few outputs that would leave most of a group empty are left to a loop."""
    rest = _left_over(op)
    if rest == 0:
        return _buckets(op, at)
    first = len(op.bias) - rest
    main = _buckets(_part(op, slice(0, first)), at)
    after = replace(at, symbol=f"{at.symbol}_rest", y=f"{at.y} + {first}")
    more = loop.dense(_part(op, slice(first, None)), after)
    calls = f"{main.call}\n    {more.call}"
    return Layer(op, (*main.constants, *more.constants), calls, (*main.runtime, *more.runtime))


def scratch(op: Dense, inputs: Sequence[Operand]) -> int:
    """Room for the buckets of the groups computed at once and what is left of them on the way to their sums."""
    rest = _left_over(op)
    groups = _groups(_part(op, slice(0, len(op.bias) - rest)).weights)
    return 4 * (256 * groups + 64)


DENSE = Printer(dense, scratch)


def _left_over(op: Dense) -> int:
    """Return how many outputs at the end are left to a loop."""
    bits, outputs = PACKINGS[op.weights.dtype.name].field_bits, len(op.bias)
    rest = outputs % (_COLUMNS // bits)
    return rest if rest < outputs and rest * bits < _COLUMNS // 2 else 0


def _part(op: Dense, outputs: slice) -> Dense:
    """Return a layer of some of the outputs."""
    scales, rescale = op.weights.scale, op.rescale
    weights = replace(
        op.weights, codes=op.weights.codes[outputs], scale=scales[outputs] if len(scales) > 1 else scales
    )
    if rescale is not None and rescale.per_channel:
        rescale = replace(rescale, multiplier=rescale.multiplier[outputs])
    bias = op.bias[outputs]
    return replace(op, weights=weights, bias=bias, rescale=rescale, out=replace(op.out, shape=bias.shape))


def _buckets(op: Dense, at: Place) -> Layer:
    x = at.inputs[0]
    bits = PACKINGS[op.weights.dtype.name].field_bits
    zero = x.type.zero_point if x.flip else x.zero
    constants, linear = linear_constants(op, at.symbol, zero, columns(op.weights), kernel="NULL", planes=bits)
    groups = _groups(op.weights)
    fields: Fields = [("linear", nested(linear)), ("groups", groups), ("columns", _COLUMNS - _COLUMNS % bits)]
    constants.append(struct(f"{at.symbol}_layer", "bitq_buckets", fields))
    fill = f"bitq_fill_{'one' if groups == 1 else 'two'}{'_signed' if x.flip else ''}"
    call = f"bitq_dense_buckets(&{at.symbol}_layer, {x.expression}, {fill}, {at.scratch}, {at.y});"
    return Layer(op, tuple(constants), call, ("bitq_dense_buckets", fill, "bitq_bucket_sums"))


def _groups(weights: Weights) -> int:
    """Return how many groups are computed at once."""
    return 1 if len(weights.codes) <= _COLUMNS // PACKINGS[weights.dtype.name].field_bits else 2
