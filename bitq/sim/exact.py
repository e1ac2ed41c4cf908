"""Integers held in floating point: which type holds them exactly, and rounding that lets gradients pass.

A sum of integers is exact in any order as long as every partial sum stays within the significand: 2^24 for float32,
2^53 for float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitq.ir.types import INT32_MAX, IntArray, Rescale, TensorType

FLOAT32_EXACT = 2**24


class _Floor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        return torch.floor(args[0])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return grad_outputs[0]


def floor(x: Tensor) -> Tensor:
    """Return ``⌊x⌋``; the gradient passes unchanged (straight-through, Bengio et al., arXiv:1308.3432)."""
    result: Tensor = _Floor.apply(x)
    return result


def nearest(x: Tensor) -> Tensor:
    """Return ``⌊x + 1/2⌋``, straight-through."""
    return floor(x + 0.5)


def dtype_for(magnitude: int) -> torch.dtype:
    """Return the faster type in which sums up to ``±magnitude`` are exact."""
    return torch.float32 if magnitude <= FLOAT32_EXACT else torch.float64


def tensor(values: IntArray, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return integers as a tensor."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)


def centred(x: Tensor, kind: TensorType) -> Tensor:
    """Return ``x − zero_point``."""
    return x - kind.zero_point if kind.zero_point else x


class Rescaler(nn.Module):
    """`bitq.ir.types.Rescale` on float64 accumulators, whose multipliers can be trained.

    Attributes:
        log_gain: natural logarithm of what each multiplier is scaled by, 0 at first, ``(channels,)`` or ``(1,)``.
        powers_of_two: whether the multipliers are held to powers of two, the nearest on the logarithmic scale.
    """

    multiplier: Tensor

    def __init__(self, rescale: Rescale) -> None:
        super().__init__()
        self.rescale = rescale
        self.register_buffer("multiplier", tensor(rescale.multiplier))
        self.log_gain = nn.Parameter(torch.zeros(len(rescale.multiplier)), requires_grad=False)
        self.powers_of_two = False

    def forward(self, accumulator: Tensor, low: Tensor | int, high: Tensor | int) -> Tensor:
        """Rescale.

        Args:
            accumulator: integers in float64, channels last.
            low: what the accumulator may reach, per channel or in all; it bounds a trained multiplier.
            high: the same upwards.

        Returns:
            Integers: float32 for 8 and 16 bits, else float64.
        """
        rescale = self.rescale
        if rescale.pre_shift:
            accumulator = floor(accumulator * 2.0**-rescale.pre_shift)
        # Scaling by a power of two is exact, so the rounding term is 1/2 of the last place.
        product = accumulator * (self.integers(low, high) * 2.0**-rescale.shift)
        value = floor(product + 0.5) if rescale.shift else product
        value = value.clamp(rescale.low - rescale.zero_point, rescale.high - rescale.zero_point) + rescale.zero_point
        return value.float() if max(-rescale.low, rescale.high) < FLOAT32_EXACT else value

    def integers(self, low: Tensor | int, high: Tensor | int) -> Tensor:
        """Return the multipliers, no larger than what keeps the product within int32."""
        if not (self.log_gain.requires_grad or self.log_gain.any() or self.powers_of_two):
            return self.multiplier
        wanted = self.multiplier * self.log_gain.double().exp()
        wanted = torch.exp2(nearest(torch.log2(wanted))) if self.powers_of_two else nearest(wanted)
        with torch.no_grad():
            ends = [torch.as_tensor(end, dtype=torch.float64) for end in (low, high)]
            reach = torch.stack([(end * 2.0**-self.rescale.pre_shift).floor().abs() for end in ends]).amax(0)
            half = 1 << self.rescale.shift >> 1
            most = ((INT32_MAX - half) / reach.clamp(min=1)).floor().clamp(1, 32767)
            most = most if len(self.multiplier) > 1 else most.min().reshape(1)
            most = most.log2().floor().exp2() if self.powers_of_two else most
        return torch.minimum(wanted.clamp(min=1), most)

    def trained(self, low: Tensor | int, high: Tensor | int) -> Rescale:
        """Return the rescale with its trained multipliers."""
        multiplier = self.integers(low, high).detach().numpy().astype(np.int16)
        old = self.rescale
        return Rescale(multiplier, old.pre_shift, old.shift, old.zero_point, old.low, old.high)
