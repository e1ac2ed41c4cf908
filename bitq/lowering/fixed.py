"""From real gains and offsets to the integers of a `Rescale` and of a bias."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.types import INT32, INT32_MAX, UINT7, DType, Rescale, TensorType

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]
_MULTIPLIER_BITS = 15
_BIAS_BITS = 16
_BIAS_TOLERANCE, _SCORE_TOLERANCE = 0.25, 1.0  # output steps; those of scores are fine


@dataclass(frozen=True, eq=False)
class Fixed:
    """Integers for one layer: its bias in accumulator units and its rescale."""

    bias: NDArray[np.int32]
    rescale: Rescale


def fix(
    gain: Reals,
    offset: Reals,
    magnitude: int,
    dtype: DType,
    zero_point: int,
    *,
    low: int,
    high: int,
    folded: Integers | int = 0,
) -> Fixed:
    """Find integers so that ``rescale(acc + bias) ≈ clip(gain · acc + offset + zero_point)``.

    The multiplier of the largest gain takes 15 bits. The accumulator is shifted first just as far as keeps the
    product in 32 bits, and half a step is added to the bias so that this shift rounds, too. A gain so small that
    the whole accumulator moves the output by less than 1/16 step is raised to that: its bias could not be held.

    Args:
        gain: output steps per accumulator unit, positive, ``(channels,)`` or ``(1,)``.
        offset: in output steps, ``(channels,)``.
        magnitude: largest absolute value of the accumulator without bias.
        dtype: of the output.
        zero_point: of the output.
        low: lower clamp in output integers; a ReLU sets it to the zero point.
        high: upper clamp.
        folded: what C takes from the biases before it stores them, see `bitq.ir.ops.Linear.folded`.

    Raises:
        ArithmeticError: the gains are beyond what 32 bits hold.
    """
    swing = gain * magnitude + 1  # an offset further outside the clamp changes nothing
    offset = np.clip(offset, low - zero_point - swing, high - zero_point + swing)
    gain = np.maximum(gain, np.maximum(1 / (16 * max(1, magnitude)), np.abs(offset) / 2**30))
    if np.ptp(gain) == 0:
        gain = gain[:1]
    for bits in range(_MULTIPLIER_BITS, 0, -1):
        total = bits - 1 - int(np.floor(np.log2(gain.max())))  # multiplier = gain · 2^total
        multiplier = np.clip(np.rint(gain * 2.0**total), 1, 2**bits - 1)
        real_bias = offset / (multiplier * 2.0**-total)
        reach = magnitude + np.abs(real_bias) + 1
        pre_shift = max(0, total - 30, int(np.ceil(np.log2((reach * multiplier).max() + 2.0**total / 2) - 31)))
        pre_shift = min(pre_shift, 15, max(total, 0))
        shift = total - pre_shift
        product = ((reach / 2**pre_shift + 1) * multiplier).max() + (2.0 ** (shift - 1) if shift > 0 else 0)
        if 0 <= shift <= 30 and product <= INT32_MAX and reach.max() < INT32_MAX:
            break
    else:
        raise ArithmeticError(
            f"accumulators up to ±{magnitude} with gains of {gain.min():.2g} to {gain.max():.2g} exceed int32"
        )
    bias = np.rint(real_bias) + (1 << pre_shift >> 1)
    rescale = Rescale(
        multiplier.astype(np.int16), pre_shift, shift, zero_point, max(low, dtype.low), min(high, dtype.high)
    )
    tolerance = _SCORE_TOLERANCE if dtype is INT32 else _BIAS_TOLERANCE
    return Fixed(shorten(bias, tolerance / float(gain.max()), folded), rescale)


def halved(x: TensorType) -> tuple[TensorType, Rescale]:
    """Return the 7-bit type of an 8-bit value and the rescale to it: steps twice as long, rounded down."""
    zero = (x.zero_point - x.dtype.low) >> 1
    seven = TensorType(x.shape, UINT7, 2 * x.scale, zero)
    return seven, Rescale(np.ones(1, np.int16), 1, 0, zero, UINT7.low, UINT7.high)


def shorten(bias: Reals, tolerance: float, folded: Integers | int = 0) -> NDArray[np.int32]:
    """Round biases so that what is stored of them are multiples of the smallest power of two that takes 16 bits.

    Args:
        bias: in accumulator units, within int32.
        tolerance: the largest error allowed; where 16 bits cost more, the biases keep 32.
        folded: what C takes from them before it stores them, see `bitq.ir.ops.Linear.folded`.
    """
    stored = bias - folded
    largest = max(1, int(np.abs(stored).max()))
    step = 1 << max(0, largest.bit_length() - (_BIAS_BITS - 1))
    if step / 2 > tolerance:
        return np.rint(bias).astype(np.int32)
    rounded = np.clip(np.rint(stored / step), -(2 ** (_BIAS_BITS - 1)), 2 ** (_BIAS_BITS - 1) - 1)
    return (rounded * step + folded).astype(np.int32)
