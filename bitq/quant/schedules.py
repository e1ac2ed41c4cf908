"""How the strength of the regularizer grows with the progress of training, as a factor in 0..1."""

from __future__ import annotations

import math
from collections.abc import Callable


def constant(progress: float) -> float:
    """Full strength throughout."""
    return 1.0


def linear(progress: float) -> float:
    """``min(1, progress)``."""
    return min(1.0, progress)


def exponential(progress: float) -> float:
    """``10^(4 (progress − 1))``: four decades, full strength at progress 1."""
    return 10.0 ** (4.0 * (min(1.0, progress) - 1.0))


def cosine(progress: float) -> float:
    """``(1 − cos(π · progress))/2``: slow at both ends."""
    return (1.0 - math.cos(math.pi * min(1.0, progress))) / 2.0


def sigmoid(progress: float) -> float:
    """``(1 + tanh(5 (progress − ½))/tanh(5/2))/2``: a logistic curve of steepness 10, normalized to 0..1."""
    return (1.0 + math.tanh(5.0 * (min(1.0, progress) - 0.5)) / math.tanh(2.5)) / 2.0


def step(progress: float) -> float:
    """A hundredth, a tenth, then all of the strength, a third of the way each."""
    return 10.0 ** (min(2, int(3.0 * progress)) - 2)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "linear": linear,
    "exponential": exponential,
    "cosine": cosine,
    "sigmoid": sigmoid,
    "step": step,
}
"""By name in a method's config; ``learned`` and ``paced`` are closed loops, see `bitq.quant.feedback`."""
