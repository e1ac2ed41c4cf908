"""What the network computes with while its latent weights are still real.

A forward map gives the value that stands in the parameter during forward and backward pass; the gradient with
respect to that value goes to the latent weight unchanged (straight through, Bengio et al., arXiv:1308.3432). The
swap happens around the optimizer's step, so it costs no autograd node and works for any module, recurrent ones
included.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bitq.quant.codebook import Codebook

Forward = Callable[[Tensor, Tensor, Codebook], Tensor]
"""From latent weight, scale and codebook to the value that the network sees."""


def ste(w: Tensor, scale: Tensor, book: Codebook) -> Tensor:
    """The nearest codeword: ``scale · Q(w / scale)``."""
    return book.nearest(w / scale).mul_(scale)


FORWARDS: dict[str, Forward] = {"ste": ste}
"""By name in a method's config; ``float`` has no entry, its network sees the latent weights themselves."""
