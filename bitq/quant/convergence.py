"""How far the weights have come: the figures that an epoch's log holds for every matrix and for the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bitq.quant.matrix import Matrix
from bitq.quant.regularizers import local

_WITHIN = {"within_0_5pct": 0.005, "within_1pct": 0.01, "within_2_5pct": 0.025, "within_5pct": 0.05}


def measure_matrix(matrix: Matrix) -> dict[str, float]:
    """Return the figures of one matrix, and start counting its flips anew.

    Returns:
        ``within_0_5pct``, ``within_1pct``, ``within_2_5pct``, ``within_5pct``: share of weights that close to a
        codeword, in codeword distances. ``msqe``: mean squared distance, in squared codeword distances. ``flips``:
        share of codes that changed since the last call. ``mid_mass``: share within a quarter of the way from a
        midpoint to its codewords, which chance decides. ``balance``: mean code over the largest, −1..1. ``entropy``:
        of the codes, in bits. ``scale_drift``: present mean scale over the first.
    """
    u = matrix.place()
    codes = matrix.book.nearest(u)
    distance = (u - codes).abs().div_(matrix.book.dtype.step)
    log = {name: (distance <= limit).float().mean().item() for name, limit in _WITHIN.items()}
    log["msqe"] = distance.square().mean().item()
    log["flips"] = (codes != matrix.last_codes).float().mean().item()
    log["mid_mass"] = (local(u, matrix.book).abs_() < 0.25).float().mean().item()
    log["balance"] = codes.mean().item() / matrix.book.dtype.high
    log["entropy"] = entropy(codes)
    log["scale_drift"] = matrix.scale().mean().item() / matrix.first_scale
    matrix.last_codes = codes
    return log


def entropy(codes: torch.Tensor) -> float:
    """Return the entropy of the codes in bits: how much of the codebook is in use."""
    counts = torch.bincount((codes - codes.min()).flatten().long())
    share = counts[counts > 0] / codes.numel()
    return float(-(share * share.log2()).sum().clamp_max_(0.0))


def measure(matrices: Sequence[Matrix]) -> dict[str, float]:
    """Return what an epoch's log needs, and start counting flips anew.

    Returns:
        ``weights/<name>/…`` as in `measure_matrix`; and ``weights/flips``, ``weights/within_1pct`` over all weights
        below 8 bits (8-bit codes change all the time, by one step in 255).
    """
    log: dict[str, float] = {}
    sums = dict.fromkeys(("flips", "within_1pct"), 0.0)
    count = 0
    for matrix in matrices:
        figures = measure_matrix(matrix)
        log |= {f"weights/{matrix.name}/{key}": value for key, value in figures.items()}
        if matrix.coarse:
            size = matrix.data.numel()
            count += size
            for key in sums:
                sums[key] += figures[key] * size
    return log | {f"weights/{key}": value / count for key, value in sums.items() if count}
