"""When weights are fixed for good, and which."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bitq.quant.config import MethodConfig

_EVENTS = 50  # how often per training weights are looked at


@dataclass(frozen=True)
class Freezing:
    """What to fix now.

    Attributes:
        tolerance: weights this near to their codeword, in half codeword distances.
        flip_limit: instead, weights that oscillate more often than this per step.
    """

    tolerance: float
    flip_limit: float | None = None

    @property
    def everything(self) -> bool:
        """Whether no weight stays free."""
        return self.tolerance >= 1.0


def freezing(method: MethodConfig, step: int, total: int) -> Freezing | None:
    """Return what a method fixes after a step; None while nothing is to be done.

    ``progressive`` widens the tolerance linearly from 0.05 to 1; ``oscillation`` lowers the limit along a cosine from
    four times the method's to itself (Nagel et al., arXiv:2203.11086, section 4.3), and fixes the rest at the end.
    """
    start, end = method.freeze_start * total, max(method.freeze_start, method.freeze_end) * total
    if method.freeze == "none" or step < start:
        return None
    if method.freeze == "all" or step >= end:
        return Freezing(1.0)
    if (step - int(start)) % max(1, total // _EVENTS):
        return None
    way = (step - start) / (end - start)
    if method.freeze == "oscillation":
        return Freezing(0.0, method.flip_limit * (1.0 + 1.5 * (1.0 + math.cos(math.pi * way))))
    return Freezing(0.05 + 0.95 * way)
