"""Figures of what a model answers on the test split: one kind for each kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.track.drawing import GREY, INK, PALETTE, drawing

_PANELS = 6  # targets that are drawn, at most
_BINS = 40


def confusion(path: Path, counts: NDArray[np.integer[Any]], classes: Sequence[str]) -> Path:
    """Draw a confusion matrix: counts, shaded by the share of the true class.

    Args:
        path: to write.
        counts: ``(true class, predicted class)``.
        classes: a name per class.
    """
    count = len(classes)
    side = 2.4 + 0.5 * count
    with drawing(path, width=max(4.2, side), height=side) as figure:
        axes = figure.add_subplot()
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        for true, predicted in np.ndindex(count, count):
            if counts[true, predicted]:
                colour = "white" if shares[true, predicted] > 0.55 else INK
                text = f"{counts[true, predicted]:,}"
                axes.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=9)
        names = [name if len(name) <= 14 else f"{name[:13]}…" for name in classes]
        slanted = max(map(len, names)) > 3
        axes.set_xticks(range(count), names, rotation=45 if slanted else 0, ha="right" if slanted else "center")
        axes.set_yticks(range(count), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(
            f"{np.trace(counts):,} of {counts.sum():,} correct; shade: share of the row", loc="left", fontsize=9.5
        )
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return path


def targets(path: Path, truth: NDArray[Any], said: NDArray[Any]) -> Path:
    """Draw what a regression says against what is true, a panel for each of the first targets.

    Args:
        path: to write.
        truth: ``(rows, targets)``, in their units.
        said: likewise.
    """
    count = min(truth.shape[1], _PANELS)
    columns = min(3, count)
    rows = -(-count // columns)
    with drawing(path, width=0.6 + 3.4 * columns, height=0.3 + 3.4 * rows) as figure:
        for index in range(count):
            axes = figure.add_subplot(rows, columns, index + 1)
            x, y = truth[:, index], said[:, index]
            ends = [min(x.min(), y.min()), max(x.max(), y.max())]
            axes.plot(ends, ends, color=GREY, linewidth=0.8)
            axes.scatter(x, y, s=9, color=PALETTE[0], alpha=0.5, linewidths=0)
            name = f"target {index}: " if truth.shape[1] > 1 else ""
            axes.set_title(f"{name}mean absolute error {np.abs(x - y).mean():.4g}", loc="left", fontsize=9.5)
            axes.set_aspect("equal", "datalim")
            if index % columns == 0:
                axes.set_ylabel("predicted")
            if index >= count - columns:
                axes.set_xlabel("true")
    return path


def scores(path: Path, values: NDArray[Any], labels: NDArray[np.integer[Any]], classes: Sequence[str]) -> Path:
    """Draw how far the scores of normal rows and of anomalies lie apart: share of rows by score.

    Args:
        path: to write.
        values: a score per row, larger for what is less normal; the largest hundredth shares the last bar.
        labels: 0 for normal rows, 1 for anomalies.
        classes: their two names.
    """
    with drawing(path, width=6.4, height=3.4) as figure:
        axes = figure.add_subplot()
        low, high = float(values.min()), float(np.quantile(values, 0.99))
        edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
        for label, name in enumerate(classes):
            mine = np.minimum(values[labels == label], edges[-1])
            counts, _ = np.histogram(mine, edges)
            shares = 100 * counts / max(1, len(mine))
            axes.stairs(shares, edges, fill=True, color=PALETTE[label], alpha=0.5, label=f"{name} ({len(mine):,})")
        axes.set_xlabel("score (the last bar holds all that are larger)")
        axes.set_ylabel("share of rows (%)")
        axes.set_title("Scores on the test split", loc="left")
        axes.grid(visible=False, axis="x")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8.5)
    return path
