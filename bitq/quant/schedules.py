"""How the strength of the regularizer grows with the progress of training, as a factor in 0..1."""

from __future__ import annotations

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


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "linear": linear, "exponential": exponential}
