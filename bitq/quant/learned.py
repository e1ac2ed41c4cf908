"""A scale that the optimizer learns together with the weights: learned step size quantization (LSQ).

The step hook works its gradient out from the weight's own, so there is no autograd node (Esser et al., "Learned step
size quantization", ICLR 2020, arXiv:1902.08153, eq. 3 and section 2.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitq.quant.codebook import Codebook

_FLOOR = 1e-3  # of the first scale: a scale that crossed zero would turn every code round


class LearnedScale:
    """One scale per matrix, as a parameter beside it.

    Args:
        first: the scale to begin with, shaped to broadcast.
        book: the codebook.
    """

    def __init__(self, first: Tensor, book: Codebook) -> None:
        self.parameter = nn.Parameter(first.clone())
        self._book = book
        self._least = float(first.min()) * _FLOOR

    @property
    def value(self) -> Tensor:
        """The present scale, kept positive."""
        return self.parameter.data.clamp_(min=self._least)

    def learn(self, latent: Tensor, gradient: Tensor) -> None:
        """Set the parameter's gradient from the loss's gradient at the rounded weights.

        ``∂ŵ/∂s`` is ``Q(u) − u`` inside the range and the outermost code beyond it, with ``u = w/s``; the sum over
        the weights is multiplied by ``1/√(N · Q_P)``, N the number of weights and Q_P the largest code.
        """
        u = latent / self.value
        slope = self._book.nearest(u).sub_(u * inside(u, self._book))
        total = torch.sum(slope.mul_(gradient)) / (u.numel() * self._book.dtype.high) ** 0.5
        self.parameter.grad = total.reshape(self.parameter.shape)


def inside(u: Tensor, book: Codebook) -> Tensor:
    """Return 1 where u lies strictly between the outermost codes, else 0."""
    return ((u > book.lowest) & (u < book.dtype.high)).to(u.dtype)
