"""One weight matrix on its way to integers: its latent values, scale, frozen codes, and the swap around each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.quant.codebook import Codebook
from bitq.quant.config import MethodConfig
from bitq.quant.forwards import FORWARDS
from bitq.quant.regularizers import Force, local


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """Integer codes of one weight matrix, int8 in torch's layout, and its scale ``(out,)`` or ``(1,)``."""

    codes: NDArray[np.int8]
    scale: NDArray[np.float64]
    book: Codebook


class Matrix:
    """A parameter under a codebook.

    The latent (real) weights live in the parameter itself while the optimizer steps. With a forward map they are set
    aside in between, and the parameter holds what the network is to see.

    Attributes:
        name: of the parameter in the plain model.
        book: its codebook.
        parameter: the parameter, which keeps its identity throughout.
        last_codes: codes when flips were last counted.
    """

    def __init__(self, name: str, book: Codebook, parameter: nn.Parameter, method: MethodConfig) -> None:
        self.name = name
        self.book = book
        self.parameter = parameter
        self._per_channel = method.scale == "channel" or book.spread == 0
        self._forward = FORWARDS.get(method.forward)
        self._latent: Tensor | None = None
        self._fixed_scale: Tensor | None = None
        self._frozen: Tensor | None = None
        self._target: Tensor | None = None
        self.last_codes = self.codes()

    @property
    def data(self) -> Tensor:
        """The latent weights."""
        return self.parameter.data if self._latent is None else self._latent

    @property
    def done(self) -> bool:
        """Whether every weight is frozen."""
        return not self.parameter.requires_grad

    def scale(self) -> Tensor:
        """Return the present scale, shaped to broadcast over the weights."""
        if self._fixed_scale is not None:
            return self._fixed_scale
        return self.book.scale(self.data, per_channel=self._per_channel)

    def codes(self) -> Tensor:
        """Return the nearest codes of the latent weights."""
        return self.book.nearest(self.data / self.scale())

    def show(self) -> None:
        """Set the latent weights aside and let the network see the forward map of them."""
        if self._forward is None or self._latent is not None or self.done:
            return
        seen = self._forward(self.parameter.data, self.scale(), self.book)
        self._latent, self.parameter.data = self.parameter.data, seen

    def hide(self) -> None:
        """Put the latent weights back, for the optimizer to update them."""
        if self._latent is not None:
            self.parameter.data, self._latent = self._latent, None

    def pull(self, force: Force, amount: float) -> None:
        """Move the weights by one decoupled step of the regularizer."""
        scale = self.scale()
        v = local(self.data / scale, self.book)
        self.data.sub_(force(v).mul_(scale * (amount * self.book.dtype.step / 2)))

    def freeze(self, tolerance: float) -> None:
        """Fix every weight within ``tolerance`` of its codeword, for good.

        Args:
            tolerance: in half codeword distances; 1 takes every weight.
        """
        if self._fixed_scale is None:
            self._fixed_scale = self.scale().clone()
        u = self.data / self._fixed_scale
        near = (u - self.book.nearest(u)).abs() <= tolerance * self.book.dtype.step / 2
        # Weights beyond the outermost codeword are never within reach; the last call takes everything.
        near |= tolerance >= 1.0
        if self._frozen is not None:
            near |= self._frozen
        self._frozen, self._target = near, self.book.nearest(u) * self._fixed_scale
        self.hold()
        if bool(near.all()):
            self.parameter.requires_grad = False
            self.parameter.grad = None

    def hold(self) -> None:
        """Put frozen weights back to their codeword."""
        if self._frozen is not None and self._target is not None:
            torch.where(self._frozen, self._target, self.data, out=self.data)

    @torch.no_grad()
    def round(self) -> QuantizedWeight:
        """Leave a plain parameter of value ``code · scale`` and return the codes."""
        self.hide()
        scale = self.scale().clone()
        codes = self.book.nearest(self.data / scale)
        self.parameter.copy_(codes * scale)
        self.parameter.requires_grad = True
        flat = scale.flatten().double().cpu().numpy()
        return QuantizedWeight(codes.to(torch.int8).cpu().numpy(), flat, self.book)
