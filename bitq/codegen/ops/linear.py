"""What dense layers and convolutions share in C: packed weights, the shortest biases, the fields of `bitq_linear`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import Constant, Fields, table
from bitq.codegen.ops.layer import UINT16_MAX, out_bytes, require, rescale_constants
from bitq.codegen.pack import PACKINGS, Bytes, pack
from bitq.ir.ops import Linear

_BIAS_INT32 = 255


def linear_constants(
    op: Linear,
    symbol: str,
    zero: int,
    packed: Bytes | None = None,
    *,
    adds: bool = False,
    flip: int = 0,
    **own: str | int,
) -> tuple[list[Constant], Fields]:
    """Return the constants of a linear layer and the fields of its `bitq_linear`.

    Args:
        op: the layer.
        symbol: prefix of the constants.
        zero: the byte that stands for 0 in its input, which is folded into the biases; 0 where the kernel takes
            every input relative to its zero.
        packed: the weights in an order of their own.
        adds: whether results are added to what is there.
        flip: xor of every byte that the kernel reads.
        own: fields with a meaning of their own.
    """
    packing = PACKINGS[op.weights.dtype.name]
    matrix = op.weights.matrix
    outputs, inputs = matrix.shape
    most = f"at most {UINT16_MAX} each"
    require(op, max(outputs, inputs) <= UINT16_MAX, f"{inputs} inputs and {outputs} outputs", most)
    weights = table(f"{symbol}_weights", pack(matrix.astype(np.int8), op.weights.dtype) if packed is None else packed)
    # Folding in the zero point gives the sum for an input of all zero bytes, so it fits where the sums do.
    stored, shift = shortest_bias(op.bias.astype(np.int64) - zero * matrix.sum(axis=1))
    bias = table(f"{symbol}_bias", stored)
    rescale = rescale_constants(op, op.rescale, symbol, adds=adds)
    fields: Fields = [
        ("kernel", packing.kernel_of(flip)),
        ("weights", weights.name),
        ("bias", bias.name),
        ("rescale", f"&{rescale[-1].name}" if rescale else "NULL"),
        ("inputs", inputs),
        ("outputs", outputs),
        ("row_bytes", packing.row_bytes(inputs)),
        ("planes", packing.planes),
        ("widen", packing.widen),
        ("offset", packing.offset),
        ("bias_shift", shift),
        ("out_bytes", out_bytes(op)),
        ("flip", flip),
    ]
    return [weights, bias, *rescale], [(name, own.get(name, value)) for name, value in fields]


def shortest_bias(bias: NDArray[np.int64]) -> tuple[NDArray[np.int16] | NDArray[np.int32], int]:
    """Return the shortest exact storage of biases: int16 with a common left shift, else int32.

    Returns:
        The integers to store, and the shift; 255 marks int32.
    """
    for shift in range(17):
        short = bias >> shift
        if ((short << shift) != bias).any():
            break
        if short.min() >= -(2**15) and short.max() < 2**15:
            return short.astype(np.int16), shift
    return bias.astype(np.int32), _BIAS_INT32
