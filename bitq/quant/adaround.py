"""Rounding that keeps each layer's output: up or down is learned per weight, from a few hundred training rows.

Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020, arXiv:2004.10568.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bitq.quant.matrix import Matrix
from bitq.quant.regularizers import middle

ZETA, GAMMA = 1.1, -0.1  # how far the sigmoid is stretched, so that 0 and 1 are reached
WEIGHT = 0.01  # of the term that makes choices firm
_RATE = 1e-2
_BATCH = 128
_FREE = 0.2  # share of the iterations without that term


def rectified(v: Tensor) -> Tensor:
    """Return ``h(V) = clip(σ(V)(ζ − γ) + γ, 0, 1)`` (eq. 23): the share of the way from the lower codeword up."""
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)


def unrectified(h: Tensor) -> Tensor:
    """Return the V of which ``h(V)`` is h, for h in 0..1."""
    return torch.logit((h - GAMMA) / (ZETA - GAMMA))


def firmness(h: Tensor, beta: float) -> Tensor:
    """Return ``Σ 1 − |2h − 1|^β`` (eq. 24), 0 when every weight has chosen."""
    return (1.0 - (2.0 * h - 1.0).abs().pow(beta)).sum()


@torch.enable_grad()
def adaround(model: nn.Module, matrices: Sequence[Matrix], rows: Tensor, iterations: int = 500) -> None:
    """Choose and fix the codes of matrices, one after the other in the order of the model.

    Each minimizes ``‖y − ŷ‖² + λ Σ 1 − |2h − 1|^β`` over V with Adam (eq. 25): y is the output of the module in
    float, ŷ with the weights between ``lower`` and ``lower + h·D`` and the inputs that the layers rounded before
    it give. β falls from 20 to 2.

    Args:
        model: with latent weights in its parameters; left in evaluation mode, its matrices fixed.
        matrices: what to round.
        rows: real inputs ``(n, *shape)``.
        iterations: per matrix.
    """
    model.eval()
    original = copy.deepcopy(model)
    random = torch.Generator().manual_seed(0)
    for matrix in matrices:
        path, _, leaf = matrix.name.rpartition(".")
        owner = model.get_submodule(path)
        wanted = _calls(original, original.get_submodule(path), rows)[1]
        inputs = _calls(model, owner, rows)[0]
        scale = matrix.scale()
        u = matrix.data / scale
        half = matrix.book.dtype.step / 2
        lower = middle(u, matrix.book) - half
        v = unrectified(((u - lower) / (2.0 * half)).clamp(0.01, 0.99)).requires_grad_()
        optimizer = torch.optim.Adam([v], lr=_RATE)
        batch_dim = int(getattr(owner, "batch_first", True) is False)  # of a recurrent layer, time comes first
        for step in range(iterations):
            chosen = torch.randperm(len(rows), generator=random)[:_BATCH]
            weight = (lower + rectified(v) * (2.0 * half)) * scale
            x, y = (values.index_select(batch_dim, chosen) for values in (inputs, wanted))
            found = _first(torch.func.functional_call(owner, {leaf: weight}, (x,)))
            loss = (found - y).square().sum() / len(chosen)
            way = step / iterations
            if way >= _FREE:
                beta = 20.0 - 18.0 * (way - _FREE) / (1.0 - _FREE)
                loss = loss + WEIGHT * firmness(rectified(v), beta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            matrix.fix(lower + (v >= 0) * (2.0 * half))


@torch.no_grad()
def _calls(model: nn.Module, module: nn.Module, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return input and output of a module while the model computes."""
    seen: list[tuple[Tensor, Tensor]] = []

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        seen.append((args[0], _first(output)))

    hook = module.register_forward_hook(note)
    try:
        model(rows)
    finally:
        hook.remove()
    return seen[-1]


def _first(output: Any) -> Tensor:
    """Return the tensor that a module gives, of several the first: the sequence of a recurrent layer."""
    return output[0] if isinstance(output, tuple) else output
