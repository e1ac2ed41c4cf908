"""Bits per matrix that learn together with the weights, under a budget of bytes: what searches are held against.

Between two widths a matrix computes with both, ``(1 − α)·Q_b(w) + α·Q_c(w)``, so that the loss has a slope along the
bits (Nikolić et al., "BitPruning", arXiv:2002.03090, section 3, there for neighbouring integers). To the loss comes
``μ·(bytes/budget − 1)``; μ is the multiplier of a constraint and follows how far the bytes are above it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from bitq.quant.codebook import CODEBOOKS, FOR_BITS, Codebook
from bitq.quant.forwards import Moment

_PRICE = 1e-3  # μ at the start, below what the loss says of any matrix
_PACE = 30.0  # in logarithms of μ per phase, for bytes at twice the budget
_TRAVEL = 4.0  # how often a matrix could cross all of its widths in the phase


def allowed(book: Codebook, bits: Sequence[int]) -> list[Codebook]:
    """Return the codebooks that a matrix may get, narrow to wide: the policy's, and those of fewer bits."""
    return [CODEBOOKS[FOR_BITS[count]] for count in sorted(bits) if count < book.bits] + [book]


def packed_bytes(shape: Sequence[int], book: Codebook) -> int:
    """Return what weights ``(out, …)`` take: a byte each at 8 bits, else planes of bits in rows of whole bytes."""
    rows, columns = shape[0], math.prod(shape[1:])
    return rows * columns if book.bits == 8 else rows * book.bits * -(-columns // 8)


class LearnedBits:
    """The width of one matrix, as a place on the list of its codebooks: 1.25 is a quarter of the way from [1] to [2].

    Args:
        books: what it may become, narrow to wide; two or more. It begins at the widest.
        shape: of the weights.
        scale: of a codebook, from the weights.
    """

    def __init__(
        self, books: Sequence[Codebook], shape: Sequence[int], scale: Callable[[Tensor, Codebook], Tensor]
    ) -> None:
        self.books = list(books)
        self.sizes = [packed_bytes(shape, book) for book in books]
        self.place = len(books) - 1.0
        self.slope = 0.0
        self._scale = scale
        self._step: Tensor | None = None

    @property
    def lower(self) -> int:
        """Number of the narrower codebook of the two."""
        return min(int(self.place), len(self.books) - 2)

    @property
    def bits(self) -> float:
        """The present width."""
        return self._between([float(book.bits) for book in self.books])

    @property
    def bytes(self) -> float:
        """What the weights take at the present width."""
        return self._between([float(size) for size in self.sizes])

    def value(self, w: Tensor, scale: Tensor, book: Codebook, moment: Moment) -> Tensor:
        """Return what the network sees, a forward map (`bitq.quant.forwards`): both roundings in proportion."""
        narrow, wide = (b.project(w, self._scale(w, b)) for b in self.books[self.lower : self.lower + 2])
        self._step = wide - narrow
        return narrow.add_(self._step, alpha=self.place - self.lower)

    def learn(self, gradient: Tensor) -> None:
        """Keep the slope of the loss along the place: its gradient at the weights times ``Q_c(w) − Q_b(w)``."""
        if self._step is not None:
            self.slope = float(torch.sum(gradient * self._step))

    def _between(self, values: Sequence[float]) -> float:
        low, high = values[self.lower : self.lower + 2]
        return low + (high - low) * (self.place - self.lower)


class BitBudget:
    """The widths of all matrices that share a budget.

    Args:
        learned: by name.
        limit: bytes that they may take together.
        steps: of the phase in which they learn.

    Attributes:
        price: μ.
    """

    def __init__(self, learned: Mapping[str, LearnedBits], limit: float, steps: int) -> None:
        self.learned = dict(learned)
        self.price = _PRICE
        self._limit = limit
        self._steps = max(1, steps)
        self._done = 0
        self._places = torch.tensor([one.place for one in self.learned.values()])
        self._optimizer = torch.optim.Adam([self._places], betas=(0.9, 0.99))

    def step(self) -> None:
        """Move every place by one step of Adam down the slope of loss and bytes, and adapt the price."""
        ones = list(self.learned.values())
        excess = sum(one.bytes for one in ones) / self._limit - 1.0
        self.price *= math.exp(_PACE / self._steps * min(1.0, excess))
        heavier = [(one.sizes[one.lower + 1] - one.sizes[one.lower]) / self._limit for one in ones]
        self._places.grad = torch.tensor(
            [one.slope + self.price * more for one, more in zip(ones, heavier, strict=True)]
        )
        left = max(0.0, 1.0 - self._done / self._steps)
        widest = max(len(one.books) for one in ones) - 1
        self._optimizer.param_groups[0]["lr"] = left * _TRAVEL * widest / self._steps
        self._optimizer.step()
        self._done += 1
        for index, one in enumerate(ones):
            one.place = min(max(float(self._places[index]), 0.0), len(one.books) - 1.0)
            self._places[index] = one.place

    def decide(self) -> dict[str, Codebook]:
        """Return one codebook per matrix within the budget.

        Places are rounded down, all of them lowered alike until that fits, then up again where there is room, those
        with the most behind the point first.
        """
        places = {name: one.place for name, one in self.learned.items()}
        chosen = {name: int(place) for name, place in places.items()}
        while self._bytes(chosen) > self._limit and any(chosen.values()):
            places = {name: max(0.0, place - 0.01) for name, place in places.items()}
            chosen = {name: int(place) for name, place in places.items()}
        for name in sorted(places, key=lambda name: chosen[name] - places[name]):
            up = {**chosen, name: chosen[name] + 1}
            if up[name] < len(self.learned[name].books) and self._bytes(up) <= self._limit:
                chosen = up
        return {name: one.books[chosen[name]] for name, one in self.learned.items()}

    def _bytes(self, chosen: Mapping[str, int]) -> int:
        return sum(one.sizes[chosen[name]] for name, one in self.learned.items())
