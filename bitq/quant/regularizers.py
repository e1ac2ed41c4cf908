"""Regularizers that pull weights towards their codebook, written as forces.

Each function returns R'(u) for ``u = w / scale``, in units of half the distance D between two codewords: the
coordinate is ``v = (u − middle) / (D/2)`` around the middle of the interval that u lies in, so ±1 are the two
nearest codewords and one formula serves every codebook. The force is applied decoupled from the optimizer:
``w ← w − λ·lr · scale · (D/2) · force``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bitq.quant.codebook import Codebook

Force = Callable[[Tensor], Tensor]


def local(u: Tensor, book: Codebook) -> Tensor:
    """Return v: the place of u between its two neighbouring codewords at −1 and +1, beyond ±1 outside the range."""
    half = book.dtype.step / 2
    middle = ((u - book.lowest) / book.dtype.step).floor_().mul_(book.dtype.step).add_(book.lowest + half)
    return (u - middle.clamp_(book.lowest + half, book.dtype.high - half)).div_(half)


def hq(v: Tensor) -> Tensor:
    """Huberised double well: ``R = (v² − 1)²/8`` for |v| ≤ 1, ``(|v| − 1)²/2`` outside.

    R' is ``v (v² − 1)/2`` inside and ``v − sign(v)`` outside: no force at the midpoint, a low barrier, curvature 1
    at the codeword on both sides, and a pull that grows only linearly for outliers. It is smooth at the midpoint.
    """
    inside = v.clamp(-1.0, 1.0)
    return (inside * inside - 1.0).mul_(inside).mul_(0.5).add_(v - inside)


def msqe(v: Tensor) -> Tensor:
    """Mean squared quantization error: ``R = (|v| − 1)²/2``, so R' is ``v − sign(v)``.

    The distance to the nearest codeword; kinked at the midpoint (Choi et al., arXiv:1809.00095, eq. 3).
    """
    return v - torch.where(v < 0, -1.0, 1.0)


REGULARIZERS: dict[str, Force] = {"hq": hq, "msqe": msqe}
