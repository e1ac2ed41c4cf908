"""Strengths of the regularizer that are not scheduled but steered by what the weights do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from bitq.quant.config import MethodConfig
from bitq.quant.forwards import Moment
from bitq.quant.matrix import Matrix

_LEAST, _MOST = 1e-3, 1e4  # times the strength in the config; a loop that fell further would come back too late


class Feedback(Protocol):
    """A closed loop: sees every step, and says by how much to multiply the method's strength."""

    factor: float

    def observe(self, step: int, moment: Moment, matrices: Sequence[Matrix], rate: float) -> None:
        """Take in the weights after a step of the given learning rate; ``matrices`` have fewer than 8 bits."""
        ...


class Learned:
    """The strength as a variable of the loss ``L + λR − c·log λ`` (Choi et al., arXiv:1809.00095, eq. 6).

    Descent on ``ω = log λ`` keeps it positive: ``dω = λR − c``, divided by c so that c moves the fixed point
    ``λ = c / R`` and not the pace. As the error R falls, the strength grows.
    """

    def __init__(self, method: MethodConfig, total_steps: int) -> None:
        self.factor = 1.0
        self._strength, self._weight = method.strength, method.log_weight

    def observe(self, step: int, moment: Moment, matrices: Sequence[Matrix], rate: float) -> None:
        """Move the strength by one step of descent."""
        free = [matrix for matrix in matrices if not matrix.done]
        if free:
            # Distances are in codewords, R in halves of that: (2d)²/2.
            error = sum(2.0 * float(matrix.distance().square().mean()) for matrix in free) / len(free)
            slope = self._strength * self.factor * error / self._weight - 1.0
            self.factor = _bounded(self.factor * math.exp(-rate * max(-1.0, min(1.0, slope))))


class Paced:
    """The strength that makes the codes settle at the pace asked for, whatever the network.

    Every hundredth of the training the share of codes that changed is held against a target that falls linearly to
    zero at ``freeze_start``; a proportional controller on the logarithm then multiplies the strength: too many flips
    raise it, too few lower it.
    """

    GAIN = 0.5
    LARGEST = 1.0  # of one correction, as a logarithm
    FLOOR = 1e-4  # flip rates below this count as equal

    def __init__(self, method: MethodConfig, total_steps: int) -> None:
        self.factor = 1.0
        self._target = method.flip_target
        self._every = max(1, total_steps // 100)
        self._codes: list[Tensor] = []

    def target(self, approach: float) -> float:
        """Return the share of codes that should change per hundredth of the training."""
        return self._target * (1.0 - approach)

    def observe(self, step: int, moment: Moment, matrices: Sequence[Matrix], rate: float) -> None:
        """Count the flips when a hundredth of the training has passed, and correct the strength."""
        if (step - 1) % self._every or moment.approach >= 1.0:
            return
        codes = [matrix.codes() for matrix in matrices]
        if self._codes:
            changed = sum(int((new != old).sum()) for new, old in zip(codes, self._codes, strict=True))
            measured = changed / sum(code.numel() for code in codes)
            error = math.log((measured + self.FLOOR) / (self.target(moment.approach) + self.FLOOR))
            self.factor = _bounded(self.factor * math.exp(max(-self.LARGEST, min(self.LARGEST, self.GAIN * error))))
        self._codes = codes


def _bounded(factor: float) -> float:
    return min(_MOST, max(_LEAST, factor))


FEEDBACKS: dict[str, Callable[[MethodConfig, int], Feedback]] = {"learned": Learned, "paced": Paced}
"""By name of the schedule in a method's config, from method and total steps."""
