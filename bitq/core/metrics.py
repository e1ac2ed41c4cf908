"""What a metric's name alone says: which way is better, and how a value is written."""

from __future__ import annotations

import math

ERRORS = frozenset({"mae"})
"""Metrics in the units of the target, where less is better; all others are shares in 0..1, where more is."""


def merit(metric: str, value: float) -> float:
    """Return a number that grows as a value of the metric gets better."""
    return -value if metric in ERRORS else value


def unit(metric: str) -> str:
    """Return what stands behind a written value: ``%``, or nothing for units that only the data know."""
    return "" if metric in ERRORS else "%"


def written(metric: str, value: float, decimals: int = 2) -> str:
    """Return a value without its unit: shares in % with two decimals, errors with four digits."""
    if not math.isfinite(value):
        return "n/a"
    return f"{value:.4g}" if metric in ERRORS else f"{100 * value:.{decimals}f}"


def with_unit(metric: str, value: float, decimals: int = 2) -> str:
    """Return a value with its unit, as in ``97.31 %``."""
    return f"{written(metric, value, decimals)} {unit(metric)}".strip()
