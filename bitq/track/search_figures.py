"""The figures of a search: every trial and the front, what decides the result, and the bits per layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitq.track.drawing import GREY, INK, PALETTE, drawing


@dataclass(frozen=True)
class Point:
    """One trial: what it costs, its objective in 0..1, its name where it is an obvious one, and whether it leads."""

    cost: float
    value: float
    anchor: str
    leads: bool


def pareto(path: Path, points: Sequence[Point], cost: str, metric: str, limit: float | None = None) -> Path:
    """Draw every trial by its cost and its objective, the front as a staircase, the obvious ones by name.

    Args:
        path: to write.
        points: of the completed trials.
        cost: name of the cost, for the axis.
        metric: name of the metric, for the axis.
        limit: the budget, drawn as a line.
    """
    with drawing(path, width=7.6, height=4.8) as figure:
        axes = figure.add_subplot()
        plain = [p for p in points if not p.anchor]
        named = [p for p in points if p.anchor]
        axes.scatter([p.cost for p in plain], [100 * p.value for p in plain], s=26, color=PALETTE[5], label="trial")
        axes.scatter(
            [p.cost for p in named],
            [100 * p.value for p in named],
            s=40,
            marker="D",
            color=PALETTE[4],
            label="obvious",
        )
        least, most = min((p.cost for p in points), default=0.0), max((p.cost for p in points), default=0.0)
        for p in named:
            inside = p.cost <= least + 0.85 * (most - least)  # a name at the right edge goes to the left
            axes.annotate(
                p.anchor,
                (p.cost, 100 * p.value),
                textcoords="offset points",
                xytext=(5 if inside else -5, -10),
                ha="left" if inside else "right",
                fontsize=8,
                color=INK,
            )
        front = sorted((p.cost, 100 * p.value) for p in points if p.leads)
        if front:
            best = np.maximum.accumulate([value for _, value in front])
            axes.step([c for c, _ in front], best, where="post", color=PALETTE[0], linewidth=1.8, label="front")
            axes.scatter([c for c, _ in front], [v for _, v in front], s=30, color=PALETTE[0], zorder=4)
        if limit is not None:
            axes.axvline(limit, color=PALETTE[1], linewidth=1.2, linestyle="--", label="budget")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel(cost.replace("_", " "))
        axes.set_ylabel(f"{metric.replace('_', ' ')} on validation (%)")
        axes.set_title("Every trial, and those that no other one beats", loc="left")
        axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    return path


def importances(path: Path, shares: Mapping[str, float]) -> Path:
    """Draw how much each parameter decides the objective.

    Args:
        path: to write.
        shares: per parameter, adding up to 1.
    """
    with drawing(path, width=6.4, height=1.4 + 0.32 * len(shares)) as figure:
        axes = figure.add_subplot()
        ordered = sorted(shares.items(), key=lambda item: item[1])
        axes.barh([name for name, _ in ordered], [100 * share for _, share in ordered], color=PALETTE[0], height=0.6)
        axes.set_xlabel("share of the importance (%, PED-ANOVA)")
        axes.set_title("What decides the result", loc="left")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    return path


def bits(path: Path, rows: Mapping[str, Mapping[str, int]]) -> Path:
    """Draw the bits of every weight matrix as a map, one row per trial.

    Args:
        path: to write.
        rows: bits per matrix, by the trial's name.
    """
    matrices = list(next(iter(rows.values())))
    with drawing(path, width=2.6 + 0.85 * len(matrices), height=1.5 + 0.32 * len(rows)) as figure:
        axes = figure.add_subplot()
        values = np.array([[row[matrix] for matrix in matrices] for row in rows.values()], dtype=np.float64)
        axes.imshow(np.log2(values), cmap="Blues", vmin=-0.8, vmax=3.6, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 4 else INK)
        names = [matrix.removesuffix(".weight") for matrix in matrices]
        axes.set_xticks(range(len(matrices)), names, rotation=30, ha="right")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_title("Bits per weight matrix", loc="left")
        axes.grid(visible=False)
        axes.tick_params(length=0, colors=GREY, labelcolor=INK)
    return path
