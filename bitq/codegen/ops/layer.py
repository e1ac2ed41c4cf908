"""An operation in C: where its values are, and what is printed for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bitq.codegen.constants import Constant, Fields, struct, table
from bitq.core.errors import DeployError
from bitq.ir.ops import Op, Pair
from bitq.ir.types import INT32, UINT7, UINT8, Rescale, TensorType

UINT16_MAX = 65535


@dataclass(frozen=True)
class Operand:
    """A value that an operation reads.

    Attributes:
        type: its type in the graph.
        flip: xor of every byte read: 0x80 for the caller's input, whose bytes are signed, else 0.
        expression: its address in C; empty as long as no memory is planned.
    """

    type: TensorType
    flip: int
    expression: str = ""

    @property
    def zero(self) -> int:
        """The unsigned byte that stands for 0, after `flip`."""
        return byte_zero(self.type)


@dataclass(frozen=True)
class Place:
    """Where an operation stands in C.

    Attributes:
        symbol: C identifier of its own, the prefix of its constants.
        inputs: what it reads.
        y: address of its result.
        scratch: address of its scratch buffer, a pointer to words; NULL if it asked for none.
        returned: whether its result is the variable ``winner`` that the entry point returns.
    """

    symbol: str
    inputs: tuple[Operand, ...]
    y: str
    scratch: str
    returned: bool = False


@dataclass(frozen=True)
class Layer:
    """One operation in C.

    Attributes:
        op: what it computes.
        constants: objects in flash, in the order of their definition.
        call: the statement that runs it, or several.
        runtime: names of the runtime functions that it uses, or of headers with inline ones.
    """

    op: Op
    constants: tuple[Constant, ...]
    call: str
    runtime: tuple[str, ...]

    @property
    def flash_bytes(self) -> int:
        """Bytes of the constants."""
        return sum(constant.flash_bytes for constant in self.constants)


def byte_zero(value: TensorType) -> int:
    """Return the integer that stands for 0 as the engine holds a value: 8-bit ones as unsigned bytes."""
    return value.zero_point if value.dtype in (UINT7, UINT8, INT32) else value.zero_point - value.dtype.low


def out_bytes(op: Op) -> int:
    """Return the bytes of one element of the result."""
    return 4 if op.out.dtype is INT32 else 1


def require(op: Op, holds: bool, what: str, allowed: str) -> None:
    """Refuse what the runtime's structures cannot hold.

    Raises:
        DeployError: names the layer, what it has and what is allowed.
    """
    if not holds:
        raise DeployError(f"layer {op.layer or op.name}: {what} cannot be held in C; allowed: {allowed}.")


def rescale_constants(op: Op, rescale: Rescale | None, symbol: str, *, adds: bool = False) -> list[Constant]:
    """Return multipliers and the `bitq_rescale` named ``<symbol>_rescale`` that leads to an op's output, or [].

    With ``adds`` results are added to the int32 that are there.
    """
    if rescale is None:
        return []
    multiplier = table(f"{symbol}_multiplier", rescale.multiplier.astype(np.int16))
    low, high = relative_clamp(op, rescale)
    fields: Fields = [
        ("multiplier", multiplier.name),
        ("low", low),
        ("high", high),
        ("zero_point", byte_zero(op.out)),
        ("step", int(rescale.per_channel)),
        ("pre_shift", rescale.pre_shift),
        ("shift", rescale.shift),
        ("out_bytes", 0 if adds else out_bytes(op)),
    ]
    return [multiplier, struct(f"{symbol}_rescale", "bitq_rescale", fields)]


def window_fields(op: Op, x: Operand, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair]) -> Fields:
    """Return the fields of a `bitq_window`."""
    height, width, channels = _spatial(x.type.shape)
    out_height, out_width, _ = _spatial(op.out.shape)
    sizes: Fields = [
        ("height", height),
        ("width", width),
        ("channels", channels),
        ("out_height", out_height),
        ("out_width", out_width),
        ("kernel_height", kernel[0]),
        ("kernel_width", kernel[1]),
        ("stride_y", stride[0]),
        ("stride_x", stride[1]),
        ("top", padding[0][0]),
        ("left", padding[1][0]),
    ]
    largest = max(int(size) for _, size in sizes)
    require(op, largest <= UINT16_MAX, f"a dimension of {largest}", f"at most {UINT16_MAX}")
    return [*sizes, ("flip", x.flip), ("zero", x.zero)]


def places_and_channels(op: Op, shape: tuple[int, ...]) -> Pair:
    """Return how many places a value has, and how many channels each."""
    require(op, shape[-1] <= UINT16_MAX, f"{shape[-1]} channels", f"at most {UINT16_MAX}")
    return math.prod(shape[:-1]), shape[-1]


def relative_clamp(op: Op, rescale: Rescale) -> Pair:
    """Return the clamp before the zero point is added; cut to int32, in which the clamped value is."""
    low, high = max(rescale.low - rescale.zero_point, INT32.low), min(rescale.high - rescale.zero_point, INT32.high)
    require(op, INT32.low <= high and low <= INT32.high, f"clamp around zero point {rescale.zero_point}", "int32")
    return low, high


def _spatial(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return a shape as (height, width, channels); a vector is one place with many channels."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return 1, math.prod(shape[:-1]), shape[-1]
