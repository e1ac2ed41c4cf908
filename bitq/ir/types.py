"""Types of the integer graph: number formats, tensors, weights, and the one rounding rule.

Everything downstream (reference, C, firmware) takes its meaning from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DeployError

IntArray = NDArray[np.integer[Any]]
INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class DType:
    """A set of integers that a value may take: ``low, low + step, …, high``.

    Names follow QONNX (BIPOLAR, TERNARY, INT8, …); ODD<n> is the odd n-bit codebook {±1, ±3, …, ±(2^n − 1)},
    of which BIPOLAR is the case n = 1.
    """

    name: str
    bits: int
    low: int
    high: int
    step: int = 1

    def __reduce__(self) -> tuple[Callable[[str], DType], tuple[str]]:
        """Pickle as a name, so that a dtype is the same object in every process."""
        return _dtype, (self.name,)

    @property
    def array(self) -> np.dtype[Any]:
        """The smallest numpy type that holds it."""
        return np.dtype(f"{'u' if self.low >= 0 else ''}int{max(8, self.bits)}")

    def allows(self, values: IntArray) -> bool:
        """Whether every value belongs to the set."""
        wide = np.asarray(values, np.int64)
        inside = (wide >= self.low) & (wide <= self.high)
        return bool((inside & ((wide - self.low) % self.step == 0)).all())


BIPOLAR = DType("BIPOLAR", 1, -1, 1, step=2)
TERNARY = DType("TERNARY", 2, -1, 1)
ODD2 = DType("ODD2", 2, -3, 3, step=2)
ODD3 = DType("ODD3", 3, -7, 7, step=2)
ODD4 = DType("ODD4", 4, -15, 15, step=2)
INT8 = DType("INT8", 8, -128, 127)
UINT7 = DType("UINT7", 7, 0, 127)
UINT8 = DType("UINT8", 8, 0, 255)
INT16 = DType("INT16", 16, -32768, 32767)
INT32 = DType("INT32", 32, -(2**31), INT32_MAX)

WEIGHT_DTYPES = {d.name: d for d in (BIPOLAR, TERNARY, ODD2, ODD3, ODD4, INT8)}
DTYPES = {**WEIGHT_DTYPES, **{d.name: d for d in (UINT7, UINT8, INT16, INT32)}}
BYTES = (INT8, UINT7, UINT8)
"""What activations may be; a byte holds one. Cores with the DSP extension add 7-bit ones up faster."""


def _dtype(name: str) -> DType:
    return DTYPES[name]


@dataclass(frozen=True)
class TensorType:
    """A value between two nodes: ``real = (integer − zero_point) · scale``.

    Attributes:
        shape: without the batch; ``(height, width, channels)`` (height 1 for sequences) or ``(features,)``.
        dtype: one of `BYTES` for activations, INT16 for what trees read, INT32 for accumulators and scores.
        scale: real value of one step; for the reader and for dequantizing scores, not used in arithmetic.
        zero_point: the integer that stands for 0.0; it is also what padding reads.
    """

    shape: tuple[int, ...]
    dtype: DType
    scale: float
    zero_point: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Weights:
    """Integer weight codes; the real weight is ``code · scale`` with one scale per output channel or one in all.

    Attributes:
        codes: int8, output channel first: ``(out, in)`` or ``(out, kernel_h, kernel_w, in)``.
        dtype: the codebook; every code belongs to it.
        scale: float64 ``(out,)`` or ``(1,)``; already folded into the rescale, kept for the reader.
    """

    codes: NDArray[np.int8]
    dtype: DType
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not self.dtype.allows(self.codes):
            raise DeployError(f"weights hold codes outside {self.dtype.name} ({self.dtype.low}..{self.dtype.high}).")

    @property
    def matrix(self) -> NDArray[np.int64]:
        """Codes as ``(out, fan_in)``."""
        return self.codes.reshape(len(self.codes), -1).astype(np.int64)

    @property
    def packed_bytes(self) -> int:
        """Bytes of the codes when every output channel's codes are packed and padded to whole bytes together."""
        return -(-self.codes.size * self.dtype.bits // 8)


@dataclass(frozen=True, eq=False)
class Rescale:
    """Fixed-point scaling of an int32 accumulator to the next tensor, per channel or for all channels alike.

    ``y = clip(((acc >> pre_shift) · multiplier + 2^(shift−1) >> shift) + zero_point, low, high)``

    with arithmetic (floor) shifts: one rounding, half up. Without shift the rounding term is absent.
    The product has to fit in int32, which `bitq.ir.ranges` proves for the actual weights.

    Attributes:
        multiplier: int16 ``(channels,)`` or ``(1,)``, each in 1..32767.
        pre_shift: 0..15, applied to the accumulator first so that the product stays within 32 bits.
        shift: 0..30.
        zero_point: added after the shift.
        low, high: clamp; a ReLU is ``low = zero_point``.
    """

    multiplier: NDArray[np.int16]
    pre_shift: int
    shift: int
    zero_point: int
    low: int
    high: int

    def apply(self, accumulator: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rescale an array whose last axis is the channel; see the formula of the class."""
        product = (accumulator >> self.pre_shift) * self.multiplier.astype(np.int64)
        rounding = 1 << (self.shift - 1) if self.shift else 0
        return np.clip(((product + rounding) >> self.shift) + self.zero_point, self.low, self.high)

    @cached_property
    def per_channel(self) -> bool:
        """Whether every channel has a multiplier of its own."""
        return len(self.multiplier) > 1
