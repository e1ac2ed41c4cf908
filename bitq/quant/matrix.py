"""One weight matrix on its way to integers: its latent values, scale, frozen codes, and the swap around each step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.quant.bits import LearnedBits, allowed
from bitq.quant.codebook import Codebook
from bitq.quant.config import MethodConfig
from bitq.quant.forwards import FORWARDS, Forward, Moment, quotient, ste
from bitq.quant.learned import LearnedScale
from bitq.quant.oscillation import Oscillation
from bitq.quant.regularizers import Regularizer, local
from bitq.quant.scales import FIXED, SCALES


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
        learned: its scale, where the method learns it.
        bits: its width, as long as the method learns it.
        tuned: its scale as a parameter that learns once all codes are frozen, where the method wants that.
        done: whether every weight is frozen.
        coarse: whether it has fewer than 8 bits; pull, clipping and early freezing are for these alone.
        replicas: how many networks' rows it holds, one block after the other; each has scales of its own.
    """

    def __init__(
        self,
        name: str,
        book: Codebook,
        parameter: nn.Parameter,
        method: MethodConfig,
        gates: int,
        replicas: int = 1,
    ) -> None:
        self.name = name
        self.book = book
        self.parameter = parameter
        self.coarse = book.spread > 0
        forward = method.forward if self.coarse or method.forward == "float" else "ste"
        self._forward = FORWARDS.get(forward)
        self.replicas = replicas
        scale = _scale_name(method, book)
        if replicas > 1 and scale in ("tensor", "gate"):
            scale, gates = "gate", max(gates if scale == "gate" else 1, replicas)
        self._scale_of = SCALES[scale]
        self._gates = gates
        books = allowed(book, method.bits)
        self.bits = LearnedBits(books, parameter.shape, partial(_scaled, method, gates)) if len(books) > 1 else None
        if self.bits is not None:
            self._forward = Forward(self.bits.value)
        # Rows that share a scale which learns: those of one replica, where it has one scale.
        self._tied = parameter.shape[0] // replicas if scale == "gate" and gates == replicas > 1 else 1
        self._latent: Tensor | None = None
        self._fixed_scale: Tensor | None = None
        self._frozen: Tensor | None = None
        self._target: Tensor | None = None
        self._codes: Tensor | None = None
        self._projected: Tensor | None = None
        self._moment = Moment(0.0, 1.0)
        self.learned: LearnedScale | None = None
        if self.coarse and method.scale == "learned":
            self.learned = LearnedScale(self.scale(), book)
        if self.coarse and method.scale in FIXED:
            self._fixed_scale = self.scale()
        self.tuned = nn.Parameter(self.scale()[:: self._tied].clone()) if self.coarse and method.tune_scales else None
        self.done = False
        watch = self.coarse and method.freeze == "oscillation"
        self._oscillation = Oscillation(self.codes()) if watch else None

    @property
    def data(self) -> Tensor:
        """The latent weights."""
        return self.parameter.data if self._latent is None else self._latent

    def scale(self) -> Tensor:
        """Return the present scale, shaped to broadcast over the weights."""
        if self._fixed_scale is not None:
            return self._fixed_scale
        if self.learned is not None:
            return self.learned.value
        return self._scale_of(self.data, self.book, self._gates)

    def place(self) -> Tensor:
        """Return where the latent weights lie among the codes, ``w / scale`` as a rule."""
        place = quotient if self._forward is None or self._frozen is not None else self._forward.place
        return place(self.data, self.scale(), self.book)

    def codes(self) -> Tensor:
        """Return the nearest codes of the latent weights."""
        return self.book.nearest(self.place())

    def show(self, moment: Moment) -> None:
        """Set the latent weights aside and let the network see the forward map of them."""
        if self.done and self.tuned is not None:
            self._rescale(self.tuned.data)
        if self._forward is None or self._latent is not None or self.done:
            return
        seen, self._projected, self._moment = self._projected, None, moment
        if seen is None:
            seen = self._forward.value(self.parameter.data, self.scale(), self.book, moment)
        self._latent, self.parameter.data = self.parameter.data, seen

    def hide(self) -> None:
        """Put the latent weights back, for the optimizer to update them, and bring the gradient to them."""
        if self._codes is not None and self.tuned is not None and self.parameter.grad is not None:
            slope = self.parameter.grad.mul_(self._codes)
            if self._tied > 1:
                slope = slope.reshape(self.replicas, -1).sum(1)
                self.tuned.grad, self.parameter.grad = slope.reshape(self.tuned.shape), None
            else:
                self.tuned.grad, self.parameter.grad = slope.sum_to_size(self.tuned.shape), None
        if self._latent is None:
            return
        gradient = self.parameter.grad
        if gradient is not None and self.bits is not None:
            self.bits.learn(gradient)
        if gradient is not None and self._forward is not None:
            if self.learned is not None and self._fixed_scale is None:
                self.learned.learn(self._latent, gradient)
            if self._forward.slope is not None:
                gradient.mul_(self._forward.slope(self._latent, self.scale(), self.book, self._moment))
        self.parameter.data, self._latent = self._latent, None

    def pull(self, regularizer: Regularizer, amount: float | Tensor) -> None:
        """Move the weights by one decoupled step of the regularizer, never past the codeword.

        Args:
            regularizer: whose step it is.
            amount: λ times the learning rate, at most ½; as a tensor, one per row ``(out, 1, …)``.
        """
        scale = self.scale()
        if regularizer.linear:
            target = self.book.project(self.data, scale)
            self.data.lerp_(target, amount)
            if self.book.bits == 1 and self._forward is not None and self._forward.value is ste:
                self._projected = target  # neither a sign nor mean|w| has changed
            return
        v = local(self.data / scale, self.book)
        half = self.book.dtype.step / 2
        force = regularizer.force(v)
        if regularizer.gentle:
            self.data.sub_(force.mul_(scale * (amount * half)))
        else:
            reach = v.abs_().sub_(1.0).abs_()
            self.data.sub_(torch.clamp(force.mul_(amount), -reach, reach).mul_(scale * half))

    def clip(self) -> None:
        """Clamp the weights to the range of the codebook."""
        limit = self.scale() * self.book.dtype.high
        torch.clamp(self.data, -limit, limit, out=self.data)

    def distance(self) -> Tensor:
        """Return how far each weight is from its codeword, in units of the distance of two codewords."""
        u = self.place()
        return (u - self.book.nearest(u)).abs_().div_(self.book.dtype.step)

    def freeze(self, tolerance: float) -> None:
        """Fix every weight within ``tolerance`` of its codeword, for good.

        Args:
            tolerance: in half codeword distances; 1 takes every weight.
        """
        u = self.place()
        codes = self.book.nearest(u)
        near = (u - codes).abs() <= tolerance * self.book.dtype.step / 2
        # Weights beyond the outermost codeword are never within reach; the last call takes everything.
        near |= tolerance >= 1.0
        self._fix(near, codes)

    def fix(self, codes: Tensor) -> None:
        """Fix every weight at the given code, for good."""
        self._fix(torch.ones_like(codes, dtype=torch.bool), codes)

    def watch(self) -> None:
        """Count one step's oscillations, where the method freezes by them."""
        if self._oscillation is not None:
            self._oscillation.observe(self.codes())

    def freeze_oscillating(self, limit: float) -> None:
        """Fix every weight that oscillates more than ``limit`` times per step, at its running mean code."""
        if self._oscillation is not None:
            self._fix(self._oscillation.frequency > limit, self.book.nearest(self._oscillation.mean_code))

    def _fix(self, chosen: Tensor, codes: Tensor) -> None:
        self._projected = None
        self._fixed_scale = self.scale().clone()
        target = codes * self._fixed_scale
        if self._frozen is not None and self._target is not None:
            target = torch.where(self._frozen, self._target, target)
            chosen = chosen | self._frozen
        self._frozen, self._target = chosen, target
        self.hold()
        if bool(chosen.all()):
            self.done = True
            self.parameter.grad = None
            self._codes = (target / self._fixed_scale).round_()
            if self.tuned is None:
                self.parameter.requires_grad = False
            else:
                self.tuned.data.copy_(self._fixed_scale[:: self._tied])

    def _rescale(self, scale: Tensor) -> None:
        """Give frozen weights another scale, at least a hundredth of what it was."""
        assert self._fixed_scale is not None
        assert self._codes is not None
        if self._tied > 1:
            scale = scale.repeat_interleave(self._tied, 0)
        self._fixed_scale = torch.maximum(scale, 0.01 * self._fixed_scale)
        torch.mul(self._codes, self._fixed_scale, out=self.parameter.data)

    def hold(self) -> None:
        """Put frozen weights back to their codeword."""
        if self._frozen is not None and self._target is not None:
            torch.where(self._frozen, self._target, self.data, out=self.data)

    @torch.no_grad()
    def round(self) -> QuantizedWeight:
        """Leave a plain parameter of value ``code · scale`` and return the codes."""
        self.hide()
        scale = self.scale().clone()
        codes = self.codes()
        self.parameter.copy_(codes * scale)
        self.parameter.requires_grad = True
        flat = scale.flatten().double().cpu().numpy()
        return QuantizedWeight(codes.to(torch.int8).cpu().numpy(), flat, self.book)


def _scale_name(method: MethodConfig, book: Codebook) -> str:
    return method.scale if book.spread > 0 else "channel"


def _scaled(method: MethodConfig, gates: int, w: Tensor, book: Codebook) -> Tensor:
    return SCALES[_scale_name(method, book)](w, book, gates)
