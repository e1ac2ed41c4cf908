"""Dense layers by buckets: weights as columns of bits, one byte for each input and group of eight columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitq.codegen.constants import struct
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
    column k is bit k of the group's bytes. Two groups go together, their bytes side by side, one pair of groups after
    the other.

    Args:
        weights: of a dense layer, ``(outputs, inputs)``.

    Returns:
        ``(bytes,)``, as many as groups times inputs; an odd group has an empty one at its side.
    """
    packing = PACKINGS[weights.dtype.name]
    bits, outputs = packing.field_bits, len(weights.codes)
    per_group = _COLUMNS // bits
    groups = 2 * -(-outputs // (2 * per_group))
    fields = ((weights.codes.astype(np.int16) + packing.offset) >> packing.widen).astype(np.uint8)
    fields = np.pad(fields, ((0, groups * per_group - outputs), (0, 0))).reshape(groups, per_group, -1)
    numbers = np.zeros((groups, fields.shape[2]), np.uint8)
    for output in range(per_group):
        for plane in range(bits):
            numbers |= (fields[:, output] >> (bits - 1 - plane) & 1) << (output * bits + plane)
    pairs = [numbers[first : first + 2].T.ravel() for first in range(0, groups, 2)]
    return np.concatenate(pairs)


def dense(op: Dense, at: Place) -> Layer:
    """Print a dense layer."""
    x = at.inputs[0]
    bits = PACKINGS[op.weights.dtype.name].field_bits
    constants, fields = linear_constants(
        op,
        at.symbol,
        x.type.zero_point if x.flip else x.zero,
        columns(op.weights),
        kernel="NULL",
        planes=bits,
        row_bytes=_COLUMNS - _COLUMNS % bits,
    )
    constants.append(struct(f"{at.symbol}_layer", "bitq_linear", fields))
    fill = "bitq_fill_signed" if x.flip else "bitq_fill"
    call = f"bitq_dense_buckets(&{at.symbol}_layer, {x.expression}, {fill}, {at.scratch}, {at.y});"
    return Layer(op, tuple(constants), call, ("bitq_dense_buckets", fill, "bitq_bucket_sums"))


def scratch(op: Dense, inputs: Sequence[Operand]) -> int:
    """Room for the buckets of two groups."""
    return 2 * (4 << _COLUMNS)


DENSE = Printer(dense, scratch)
