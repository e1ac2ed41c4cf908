"""The codebooks: which integers a weight may become, and the scale that fits them to real weights.

A real weight is ``code · scale``. One family covers every width: odd integers {±1, ±3, …, ±(2ⁿ − 1)} (n = 1 is
BIPOLAR, and an n-bit matrix is n bipolar planes), TERNARY, and INT8 for the 8-bit baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bitq.core.errors import ConfigError, nearest
from bitq.ir.types import BIPOLAR, INT8, ODD2, ODD3, ODD4, TERNARY, DType


@dataclass(frozen=True)
class Codebook:
    """The integers of a `DType` as quantization levels.

    Attributes:
        name: what a policy calls it.
        dtype: the set of codes.
        spread: scale in units of mean|w|, chosen for the least squared error on Gaussian weights
            (Max, "Quantizing for minimum distortion", 1960, table I); 0 means that the largest weight sets it.
    """

    name: str
    dtype: DType
    spread: float

    @property
    def bits(self) -> int:
        """Bits per stored weight."""
        return self.dtype.bits

    def nearest(self, u: Tensor) -> Tensor:
        """Return the code nearest to ``u = w / scale``, as floats; a value midway goes up, so that 0 becomes +1."""
        if self.bits == 1:
            return torch.copysign(u.new_ones(()), u)
        step, odd = self.dtype.step, self.dtype.step - 1
        codes = torch.mul(u, 1 / step) if odd else u + 0.5
        codes.floor_()
        return (codes.mul_(step).add_(odd) if odd else codes).clamp_(self.lowest, self.dtype.high)

    def project(self, w: Tensor, scale: Tensor) -> Tensor:
        """Return the codeword nearest to each weight, ``code · scale``; this runs once or twice in every step."""
        return torch.copysign(scale, w) if self.bits == 1 else self.nearest(w / scale).mul_(scale)

    @property
    def lowest(self) -> int:
        """Smallest code in use; −128 is left out so that codes stay symmetric."""
        return max(self.dtype.low, -self.dtype.high)

    def scale(self, w: Tensor, *, per_channel: bool) -> Tensor:
        """Return the scale for a weight ``(out, …)``, shaped to broadcast: ``(out, 1, …)`` or ``(1, 1, …)``."""
        size = w.abs()
        dims = list(range(1, w.dim())) if per_channel else list(range(w.dim()))
        if self.spread:
            value = size.mean(dims, keepdim=True) * self.spread
        else:
            value = size.amax(dims, keepdim=True) / self.dtype.high
        return value.clamp_min(1e-12)


CODEBOOKS = {
    book.name: book
    for book in (
        Codebook("bipolar", BIPOLAR, 1.0),
        Codebook("ternary", TERNARY, 1.534),
        Codebook("odd2", ODD2, 0.624),
        Codebook("odd3", ODD3, 0.367),
        Codebook("odd4", ODD4, 0.210),
        Codebook("int8", INT8, 0.0),
    )
}
FOR_BITS = {1: "bipolar", 2: "odd2", 3: "odd3", 4: "odd4", 8: "int8"}


def codebook(name: str) -> Codebook:
    """Return the codebook of a name.

    Raises:
        ConfigError: there is none; the nearest name is suggested.
    """
    if name not in CODEBOOKS:
        raise ConfigError(f"unknown codebook '{name}'.{nearest(name, CODEBOOKS)}")
    return CODEBOOKS[name]
