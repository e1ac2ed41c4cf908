"""Which weights keep going to and fro between two codes, and which code they hold most of the time.

Nagel et al., "Overcoming oscillations in quantization-aware training", ICML 2022, arXiv:2203.11086, eq. 5 and 7.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MOMENTUM = 0.01


class Oscillation:
    """Running means over steps, per weight, of oscillations and codes.

    Attributes:
        frequency: oscillations per step; a change of code counts if the one before went the other way.
        mean_code: the running mean of the code.
    """

    def __init__(self, codes: Tensor) -> None:
        self.frequency = torch.zeros_like(codes)
        self.mean_code = codes.clone()
        self._codes = codes
        self._direction = torch.zeros_like(codes)

    def observe(self, codes: Tensor) -> None:
        """Take in the codes after one more step."""
        direction = torch.sign(codes - self._codes)
        back = (direction * self._direction < 0).to(codes.dtype)
        self.frequency.lerp_(back, _MOMENTUM)
        self.mean_code.lerp_(codes, _MOMENTUM)
        self._direction = torch.where(direction == 0, self._direction, direction)
        self._codes = codes
