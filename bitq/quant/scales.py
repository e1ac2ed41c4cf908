"""Where the scale of a matrix comes from: functions of its weights, in the shape that broadcasts over them.

Methods choose one by name; the learned scale, which has a gradient, lives in `bitq.quant.learned`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bitq.quant.codebook import Codebook

Scale = Callable[[Tensor, Codebook, int], Tensor]
"""From weights ``(out, …)``, codebook and number of gates to a scale ``(out, 1, …)`` or ``(1, 1, …)``."""

_SMALLEST = 1e-12


def gates_of(model: nn.Module, name: str) -> int:
    """Return how many equal blocks of rows a parameter has: 3 in a GRU, 4 in an LSTM, else 1."""
    owner, _, leaf = name.rpartition(".")
    hidden = getattr(model.get_submodule(owner), "hidden_size", 0)
    if not hidden or not leaf.startswith(("weight_ih", "weight_hh")):
        return 1
    return model.get_parameter(name).shape[0] // int(hidden)


def none(w: Tensor, book: Codebook, gates: int) -> Tensor:
    """``1 / largest code``: the codewords span [−1, 1], and one bit is ±1 (Courbariaux et al., arXiv:1511.00363)."""
    return w.new_full([1] * w.dim(), 1.0 / book.dtype.high)


def tensor(w: Tensor, book: Codebook, gates: int) -> Tensor:
    """The codebook's multiple of mean|w|: the least squared error on Gaussian weights, mean|w| itself for one bit."""
    return book.scale(w, per_channel=False)


def channel(w: Tensor, book: Codebook, gates: int) -> Tensor:
    """``tensor``, for each output channel alone (Rastegari et al., arXiv:1603.05279, section 3.1)."""
    return book.scale(w, per_channel=True)


def gate(w: Tensor, book: Codebook, gates: int) -> Tensor:
    """``tensor``, for each gate of a recurrent matrix alone; one scale for any other matrix."""
    if gates == 1:
        return tensor(w, book, gates)
    blocks = w.reshape(gates, -1)
    rows = book.scale(blocks, per_channel=True).expand(gates, w.shape[0] // gates)
    return rows.reshape(w.shape[0], *[1] * (w.dim() - 1))


def absmean(w: Tensor, book: Codebook, gates: int) -> Tensor:
    """``mean|w|``, so that ternary rounds to zero below half of it (BitNet b1.58, arXiv:2402.17764, eq. 3).

    Codebooks of two and more bits keep their own multiple.
    """
    return (w.abs().mean() * _multiple(book)).clamp_min_(_SMALLEST).reshape([1] * w.dim())


def median(w: Tensor, book: Codebook, gates: int) -> Tensor:
    """``median|w|`` in place of the mean (BitNet b1.58 Reloaded, arXiv:2407.09527); more bits as `absmean`."""
    return (w.abs().median() * _multiple(book)).clamp_min_(_SMALLEST).reshape([1] * w.dim())


def pow2(w: Tensor, book: Codebook, gates: int) -> Tensor:
    """The power of two nearest to ``tensor`` on the logarithmic scale: a shift (SYMOG, arXiv:2002.08204)."""
    return torch.exp2(torch.round(torch.log2(tensor(w, book, gates))))


def dorefa(w: Tensor, book: Codebook, gates: int) -> Tensor:
    """``mean|w|`` for one bit, codewords that span [−1, 1] for more (DoReFa-Net, arXiv:1606.06160, eq. 7 and 9)."""
    return tensor(w, book, gates) if book.bits == 1 else none(w, book, gates)


def _multiple(book: Codebook) -> float:
    return 1.0 if book.dtype.high == 1 else book.spread


SCALES: dict[str, Scale] = {
    "none": none,
    "tensor": tensor,
    "channel": channel,
    "gate": gate,
    "absmean": absmean,
    "median": median,
    "pow2": pow2,
    "dorefa": dorefa,
    "learned": tensor,
}
"""By name in a method's config; ``learned`` begins at ``tensor``."""

FIXED = ("pow2",)
"""Taken from the first weights and kept."""
