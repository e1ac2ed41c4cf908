"""How far the weights have come: the figures that an epoch's log holds for every matrix and for the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitq.quant.matrix import Matrix
from bitq.quant.regularizers import local

BINS = 80
REACH = 1.6
"""Histograms reach this far to both sides, in units of the largest codeword."""

_WITHIN = {"within_0_5pct": 0.005, "within_1pct": 0.01, "within_2_5pct": 0.025, "within_5pct": 0.05}


class Watched:
    """One matrix over the epochs of a training.

    Attributes:
        matrix: what is watched.
        replica: whose rows, where the matrix holds several networks'.
        histograms: of the weights over the largest codeword, one ``(BINS,)`` per epoch.
    """

    def __init__(self, matrix: Matrix, replica: int = 0) -> None:
        self.replica = replica
        self.histograms: list[NDArray[np.int64]] = []
        self.follow(matrix)
        self._last_change = torch.zeros_like(self._codes, dtype=torch.int32)

    def follow(self, matrix: Matrix) -> None:
        """Watch another codebook of the same weights from here on."""
        self.matrix = matrix
        self._codes = self._own(matrix.codes())
        self._changed = torch.zeros_like(self._codes, dtype=torch.bool)
        self._first_scale = float(self._own(matrix.scale()).mean())

    @property
    def size(self) -> int:
        """Number of weights."""
        return self._codes.numel()

    def place(self) -> Tensor:
        """Return where the weights lie among the codes."""
        return self._own(self.matrix.place())

    def _own(self, values: Tensor) -> Tensor:
        """Return the rows of the replica, of weights or of scales."""
        parts = values.chunk(self.matrix.replicas)
        return parts[self.replica] if len(parts) > 1 else values

    def measure(self) -> dict[str, float]:
        """Return the figures of an epoch, and start counting flips anew.

        Returns:
            ``within_0_5pct``, ``within_1pct``, ``within_2_5pct``, ``within_5pct``: share of weights that close to a
            codeword, in codeword distances. ``msqe``: mean squared distance, in squared codeword distances.
            ``flips``: share of codes that changed since the last call. ``oscillation``: share that changed since the
            last call and before it, too. ``mid_mass``: share within a quarter of the way from a midpoint to its
            codewords, which chance decides. ``balance``: mean code over the largest, −1..1. ``entropy``: of the
            codes, in bits. ``scale_drift``: present mean scale over the first.
        """
        book, u = self.matrix.book, self.place()
        codes = book.nearest(u)
        distance = (u - codes).abs_().div_(book.dtype.step)
        changed = codes != self._codes
        log = {name: (distance <= limit).float().mean().item() for name, limit in _WITHIN.items()}
        log["msqe"] = distance.square().mean().item()
        log["flips"] = changed.float().mean().item()
        log["oscillation"] = (changed & self._changed).float().mean().item()
        log["mid_mass"] = (local(u, book).abs_() < 0.25).float().mean().item()
        log["balance"] = codes.mean().item() / book.dtype.high
        log["entropy"] = entropy(codes)
        log["scale_drift"] = self._own(self.matrix.scale()).mean().item() / self._first_scale
        self.histograms.append(torch.histc(u / book.dtype.high, BINS, -REACH, REACH).long().numpy())
        self._codes, self._changed = codes, changed
        self._last_change.masked_fill_(changed, len(self.histograms))
        return log

    def settled(self) -> list[float]:
        """Return, for each epoch measured, the share of codes that have not changed after it."""
        counts = torch.bincount(self._last_change.flatten(), minlength=len(self.histograms) + 1)
        return (counts.cumsum(0) / self.size)[1:].tolist()


def entropy(codes: Tensor) -> float:
    """Return the entropy of the codes in bits: how much of the codebook is in use."""
    counts = torch.bincount((codes - codes.min()).flatten().long())
    share = counts[counts > 0] / codes.numel()
    return float(-(share * share.log2()).sum().clamp_max_(0.0))


def measure(watched: Sequence[Watched]) -> dict[str, float]:
    """Return what an epoch's log needs, and start counting flips anew.

    Returns:
        ``weights/<name>/…`` as in `Watched.measure`; and ``weights/flips``, ``weights/within_1pct`` over all weights
        below 8 bits (8-bit codes change all the time, by one step in 255).
    """
    log: dict[str, float] = {}
    sums = dict.fromkeys(("flips", "within_1pct"), 0.0)
    count = 0
    for one in watched:
        matrix, figures = one.matrix, one.measure()
        log |= {f"weights/{matrix.name}/{key}": value for key, value in figures.items()}
        if matrix.coarse:
            count += one.size
            for key in sums:
                sums[key] += figures[key] * one.size
    return log | {f"weights/{key}": value / count for key, value in sums.items() if count}
