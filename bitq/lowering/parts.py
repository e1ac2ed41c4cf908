"""The parts of a recurrent cell's gates: multipliers that give both matrices one unit, without any rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bitq.ir.cells import NARROWS
from bitq.ir.ops import Dense
from bitq.ir.types import INT16, INT32, Rescale, TensorType, Weights
from bitq.lowering.fixed import shorten

_ROOM = 2**30  # for both parts together: half of int32, as biases and multipliers may be trained on
_BIAS_TOLERANCE = 2.0**-14  # of what tanh reads


@dataclass(frozen=True, eq=False)
class Part:
    """What one matrix gives, in real units.

    Attributes:
        name: of the matrix.
        weights: its codes.
        gain: what one unit of its sums stands for, ``(rows,)`` or ``(1,)``.
        bias: ``(rows,)``.
        reads: what it reads.
    """

    name: str
    weights: Weights
    gain: NDArray[np.float64]
    bias: NDArray[np.float64]
    reads: TensorType


def fix_parts(parts: Sequence[Part], unit: float, fractions: tuple[int, int]) -> tuple[int, list[Dense]]:
    """Find the longest fraction and the matrices whose results, in steps of ``unit / 2^fraction``, fit in int32.

    Raises:
        ArithmeticError: not even the shortest fraction does.
    """
    for fraction in range(fractions[1], fractions[0] - 1, -1):
        made = [_dense(part, unit * 2.0**-fraction) for part in parts]
        if all(dense is not None for dense in made):
            fixed = [dense for dense in made if dense is not None]
            reach = sum(_reach(dense, part.reads) for dense, part in zip(fixed, parts, strict=True))
            if int(np.max(reach)) < _ROOM:
                return fraction, fixed
    raise ArithmeticError("the parts of its gates exceed int32")


def narrow_of(state: Dense, reads: TensorType) -> int:
    """Return how many bits the last part of a GRU's state drops to fit in 16."""
    most = int(_reach(state, reads)[-reads.size :].max())
    return min(max(0, most.bit_length() - (INT16.bits - 1)), NARROWS[1])


def _dense(part: Part, unit: float) -> Dense | None:
    """Return a matrix whose results are in steps of ``unit``, or None where multipliers take more than 15 bits."""
    gain = part.gain[:1] if np.ptp(part.gain) == 0 else part.gain
    multiplier = np.maximum(np.rint(gain / unit), 1)
    if multiplier.max() > INT16.high:
        return None
    bias = part.bias / (unit * multiplier)
    if np.abs(bias).max() > INT32.high:
        return None
    dense = Dense(
        name=part.name,
        inputs=(),
        out=TensorType(part.bias.shape, INT32, unit),
        weights=part.weights,
        bias=np.zeros(part.bias.shape, np.int32),
        rescale=Rescale(multiplier.astype(np.int16), 0, 0, 0, INT32.low, INT32.high),
    )
    tolerance = _BIAS_TOLERANCE / (unit * float(multiplier.max()))
    return replace(dense, bias=shorten(bias, tolerance, dense.folded(part.reads)))


def _reach(dense: Dense, reads: TensorType) -> NDArray[np.int64]:
    """Return the largest size of each result."""
    total = dense.accumulators(reads)[0]
    assert dense.rescale is not None
    return np.maximum(-total.low, total.high) * dense.rescale.multiplier.astype(np.int64)
