"""What the network computes with while its latent weights are still real.

A forward map gives the value that stands in the parameter during forward and backward pass; the gradient with
respect to that value goes to the latent weight, unchanged (straight through, Bengio et al., arXiv:1308.3432) or times
a slope. The swap happens around the optimizer's step, so it costs no autograd node and works for any module,
recurrent ones included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bitq.quant.codebook import Codebook
from bitq.quant.learned import inside
from bitq.quant.regularizers import local, middle


@dataclass(frozen=True)
class Moment:
    """A point in time of a training.

    Attributes:
        progress: share of the training that is done, 0..1.
        freeze_start: the progress at which maps that change have arrived at the codebook.
    """

    progress: float
    freeze_start: float

    @property
    def approach(self) -> float:
        """Share of the way to ``freeze_start``, 0..1."""
        return min(1.0, self.progress / self.freeze_start) if self.freeze_start else 1.0


Map = Callable[[Tensor, Tensor, Codebook, Moment], Tensor]
"""A function of latent weights, scale, codebook and moment."""


def quotient(w: Tensor, scale: Tensor, book: Codebook) -> Tensor:
    """``w / scale``: the place of a weight among the codes."""
    return w / scale


@dataclass(frozen=True)
class Forward:
    """A forward map.

    Attributes:
        value: what the network sees, from latent weight, scale, codebook and moment.
        slope: factor on the way back to the latent weight; None passes gradients unchanged.
        place: where a weight lies among the codes, which decides its code.
    """

    value: Map
    slope: Map | None = None
    place: Callable[[Tensor, Tensor, Codebook], Tensor] = quotient


def ste(w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
    """The nearest codeword: ``scale · Q(w / scale)``."""
    return book.project(w, scale)


def within(w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
    """1 inside the range of the codebook, else 0: the slope of a clipped straight-through gradient."""
    return inside(w / scale, book)


def binaryrelax(w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
    """``(w + γ·Q)/(1 + γ)`` with ``γ = 100^approach``, then Q itself (Yin et al., arXiv:1801.06313, eq. 9)."""
    rounded = ste(w, scale, book, moment)
    if moment.approach >= 1.0:
        return rounded
    return torch.lerp(w, rounded, 1.0 - 1.0 / (1.0 + 100.0**moment.approach))


def parq_rho(approach: float, steepness: float = 10.0) -> float:
    """Return the inverse slope ρ: a mirrored sigmoid, normalized to run from 1 to 0."""

    def sigmoid(x: float) -> float:
        return 1.0 / (1.0 + math.exp(-x))

    low, high = sigmoid(-steepness / 2), sigmoid(steepness / 2)
    return (sigmoid(steepness * (0.5 - approach)) - low) / (high - low)


def parq(w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
    """``clip(c + (w − c)/ρ)`` to the two neighbouring codewords around their middle c (Jin et al., arXiv:2503.15748).

    ρ = 1 leaves weights inside the range as they are; ρ → 0 rounds them.
    """
    rho = parq_rho(moment.approach)
    if rho <= 1e-6:
        return ste(w, scale, book, moment)
    u, half = w / scale, book.dtype.step / 2
    centre = middle(u, book)
    return u.sub_(centre).div_(rho).clamp_(-half, half).add_(centre).mul_(scale)


def continuation(w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
    """``c + (D/2) · tanh(β v)`` around the middle c of the two neighbouring codewords, D apart, then the nearer one.

    β = 100^approach: the steps of the quantizer grow steep while the network learns through them (Gong et al.,
    "Differentiable soft quantization", ICCV 2019, arXiv:1908.05033, eq. 4 without its normalization).
    """
    if moment.approach >= 1.0:
        return ste(w, scale, book, moment)
    u, half = w / scale, book.dtype.step / 2
    centre = middle(u, book)
    return torch.tanh_(local(u, book).mul_(100.0**moment.approach)).mul_(half).add_(centre).mul_(scale)


def continuation_slope(w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
    """The derivative of `continuation`, ``β (1 − tanh² βv)``; 0 once it has become steps."""
    if moment.approach >= 1.0:
        return torch.zeros_like(w)
    steep = 100.0**moment.approach
    bent = torch.tanh_(local(w / scale, book).mul_(steep))
    return (1.0 - bent * bent).mul_(steep)


def tanh_place(w: Tensor, scale: Tensor, book: Codebook) -> Tensor:
    """``tanh w / max|tanh w|`` in codes: the weights of DoReFa-Net fill the range; one bit has only the sign."""
    if book.bits == 1:
        return w / scale
    bent = torch.tanh(w)
    return bent.mul_(book.dtype.high / _largest(bent))


def dorefa(w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
    """The codeword nearest to `tanh_place` (Zhou et al., arXiv:1606.06160, eq. 9; eq. 7 for one bit)."""
    return book.nearest(tanh_place(w, scale, book)).mul_(scale)


def tanh_slope(w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
    """The derivative of ``scale · tanh_place``, its maximum taken as constant."""
    if book.bits == 1:
        return torch.ones_like(w)
    bent = torch.tanh(w)
    return (1.0 - bent * bent).mul_(scale * (book.dtype.high / _largest(bent)))


def _largest(bent: Tensor) -> Tensor:
    return bent.abs().max().clamp_min_(1e-12)


FORWARDS: dict[str, Forward] = {
    "ste": Forward(ste),
    "ste_clip": Forward(ste, slope=within),
    "dorefa": Forward(dorefa, slope=tanh_slope, place=tanh_place),
    "binaryrelax": Forward(binaryrelax),
    "parq": Forward(parq),
    "continuation": Forward(continuation, slope=continuation_slope),
}
"""By name in a method's config; ``float`` has no entry, its network sees the latent weights themselves."""
