"""Regularizers that pull weights towards their codebook, written as forces.

Each function returns R'(v) for ``u = w / scale``, in units of half the distance D between two codewords: the
coordinate is ``v = (u − middle) / (D/2)`` around the middle of the interval that u lies in, so ±1 are the two
nearest codewords and one formula serves every codebook. The force is applied decoupled from the optimizer:
``w ← w − λ·lr · scale · (D/2) · force``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bitq.quant.codebook import Codebook

Force = Callable[[Tensor], Tensor]


def middle(u: Tensor, book: Codebook) -> Tensor:
    """Return the midpoint of the two codes around u; beyond the range, that of the outermost two."""
    half = book.dtype.step / 2
    centre = ((u - book.lowest) / book.dtype.step).floor_().mul_(book.dtype.step).add_(book.lowest + half)
    return centre.clamp_(book.lowest + half, book.dtype.high - half)


def local(u: Tensor, book: Codebook) -> Tensor:
    """Return v: the place of u between its two neighbouring codewords at −1 and +1, beyond ±1 outside the range."""
    return (u - middle(u, book)).div_(book.dtype.step / 2)


def side(v: Tensor) -> Tensor:
    """Return the nearer codeword of v, −1 or +1; the midpoint goes up."""
    return torch.copysign(v.new_ones(()), v)


def hq(v: Tensor) -> Tensor:
    """Huberised double well: ``R = (v² − 1)²/8`` for |v| ≤ 1, ``(|v| − 1)²/2`` outside.

    R' is ``v (v² − 1)/2`` inside and ``v − sign(v)`` outside: no force at the midpoint, a low barrier, curvature 1
    at the codeword on both sides, and a pull that grows only linearly for outliers. It is smooth at the midpoint.
    """
    inside = v.clamp(-1.0, 1.0)
    return (inside * inside - 1.0).mul_(inside).mul_(0.5).add_(v - inside)


def msqe(v: Tensor) -> Tensor:
    """Mean squared quantization error: ``R = (|v| − 1)²/2``, so R' is ``v − sign(v)``.

    The distance to the nearest codeword; kinked at the midpoint (Choi et al., arXiv:1809.00095, eq. 3). R2 of BNN+,
    ``(α − |w|)²``, is twice this one (Darabi et al., arXiv:1812.11800).
    """
    return v - side(v)


def l1(v: Tensor) -> Tensor:
    """Absolute distance: ``R = | |v| − 1 |``, so R' is ``sign(v − sign(v))``; kinked at midpoint and codeword.

    R1 of BNN+ (Darabi et al., arXiv:1812.11800). Since no step passes the codeword, it is the proximal operator
    ``w ← Q + sign(w − Q)·max(0, |w − Q| − λ·lr)`` of ProxQuant (Bai et al., arXiv:1810.00861, eq. 10).
    """
    return torch.sign(v - side(v))


def dampen(v: Tensor) -> Tensor:
    """Oscillation dampening: ``R = (1 − |v|)²/2`` for |v| ≤ 1, 0 outside: R' is ``v − sign(v)`` inside the range.

    Kinked at the midpoint; weights beyond the range feel nothing (Nagel et al., arXiv:2203.11086, eq. 6).
    """
    inside = v.clamp(-1.0, 1.0)
    return inside - side(v)


def double_well(v: Tensor) -> Tensor:
    """Quartic double well: ``R = (v² − 1)²/8`` everywhere, so R' is ``v (v² − 1)/2``: smooth at the midpoint.

    The pull on outliers grows with the third power (Tang et al., "How to train a compact binary neural network with
    high accuracy?", AAAI 2017, use ``1 − w²``; the square makes it a well).
    """
    return (v * v - 1.0).mul_(v).mul_(0.5)


def cosine(v: Tensor) -> Tensor:
    """``R = (1 + cos πv)/2`` for |v| ≤ 1, ``π²(|v| − 1)²/4`` outside; R' is ``−(π/2) sin πv`` inside.

    Smooth at the midpoint, curvature π²/2 at the codeword on both sides (the periodic regularizers of Naumov et al.,
    arXiv:1811.09862, and ACosR, arXiv:2303.02284, without the codewords that do not exist).
    """
    inside = v.clamp(-1.0, 1.0)
    return torch.sin(math.pi * inside).mul_(-math.pi / 2).add_(v - inside, alpha=math.pi**2 / 2)


def sin(v: Tensor) -> Tensor:
    """``R = sin²(π (v − 1)/2)``, that is ``sin²`` of the weight over the n-bit grid; R' is ``−(π/2) sin πv``.

    Smooth at the midpoint and periodic beyond the range too, where it holds weights at codewords that do not exist
    (SinReQ, Elthakeb et al., arXiv:1905.01416; WaveQ, arXiv:2003.00146, eq. 2 at fixed bits).
    """
    return torch.sin(math.pi * v).mul_(-math.pi / 2)


@dataclass(frozen=True)
class Regularizer:
    """A pull.

    Attributes:
        force: R'(v).
        smooth: whether R has a derivative at the midpoint.
        gentle: whether |R'| never exceeds the distance to the codeword, so that half a step cannot pass it; the steps
            of the others are cut there.
        linear: whether R' is the distance to the codeword everywhere, so that a step interpolates towards it.
    """

    force: Force
    smooth: bool
    gentle: bool = False
    linear: bool = False


REGULARIZERS: dict[str, Regularizer] = {
    "hq": Regularizer(hq, smooth=True, gentle=True),
    "msqe": Regularizer(msqe, smooth=False, gentle=True, linear=True),
    "l1": Regularizer(l1, smooth=False),
    "dampen": Regularizer(dampen, smooth=False, gentle=True),
    "double_well": Regularizer(double_well, smooth=True),
    "cosine": Regularizer(cosine, smooth=True),
    "sin": Regularizer(sin, smooth=True),
}
