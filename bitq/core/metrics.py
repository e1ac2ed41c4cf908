"""What a metric's name alone says: which way is better, and how a value is written."""

from __future__ import annotations

import math

ERRORS = frozenset({"mae"})
"""Metrics in the units of the target, where less is better; all others are shares in 0..1, where more is."""


TITLES = {"auc": "area under the ROC curve", "mae": "mean absolute error"}
"""What short names stand for."""


def title(metric: str) -> str:
    """Return the name of a metric as people read it."""
    return TITLES.get(metric, metric.replace("_", " "))


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
    if metric not in ERRORS:
        return f"{100 * value:.{decimals}f}"
    return f"{value:,.{_decimals(value)}f}" if value == 0 or abs(value) >= 1e-4 else f"{value:.4g}"


def with_spread(metric: str, mean: float, std: float) -> str:
    """Return a mean and its standard deviation with as many decimals, as in ``1.474 ± 0.005``."""
    shown = written(metric, mean)
    if metric not in ERRORS or not math.isfinite(mean) or "e" in shown:
        return f"{shown} ± {written(metric, std)}"
    return f"{shown} ± {std:,.{_decimals(mean)}f}"


def with_unit(metric: str, value: float, decimals: int = 2) -> str:
    """Return a value with its unit, as in ``97.31 %``, or with the name of the error that it is, ``mae 0.0123``."""
    shown = written(metric, value, decimals)
    return (
        f"{metric} {shown}" if metric in ERRORS else f"{shown} {unit(metric) if math.isfinite(value) else ''}".strip()
    )


def _decimals(value: float) -> int:
    """Return the decimals that four digits of a number take."""
    return max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
