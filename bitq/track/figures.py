"""The figures of a run: every seed a dot, every axis with its unit, colours that everybody can tell apart.

Functions take plain values and a path ending in ``.png`` or ``.svg``, and return the path written. The same
values give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.metrics import merit, title, unit, written
from bitq.track.drawing import GREY, INK, PALETTE, drawing
from bitq.track.tracker import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


def accuracy(path: Path, per_seed: Mapping[str, Sequence[float]], metric: str = "accuracy") -> Path:
    """Draw every variant's metric: a dot per seed, a bar at the mean, a tick at the worst.

    Args:
        path: to write.
        per_seed: values per variant.
        metric: its name, for the axis.
    """
    with drawing(path, width=7.2, height=1.4 + 0.55 * len(per_seed)) as figure:
        axes = figure.add_subplot()
        _dots(axes, per_seed, metric)
        axes.set_xlabel(_with_unit(f"{title(metric)} on the test split", metric))
        axes.set_title("Every seed of every variant", loc="left")
        _legend_of_dots(axes)
    return path


def compared(
    path: Path,
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    reference: tuple[str, Sequence[float]] | None,
    metric: str = "accuracy",
) -> Path:
    """Draw the metric of variants under several conditions, a panel each, beside one that no condition changes.

    Args:
        path: to write.
        panels: values per variant for every condition, the same variants in each; empty where there are none.
        reference: name and values of what is drawn as a line at its mean through all panels.
        metric: its name, for the axis.
    """
    from matplotlib.lines import Line2D

    rows = max(len(panel) for panel in panels.values())
    with drawing(path, width=1.5 + 3.3 * len(panels), height=2.0 + 0.5 * rows) as figure:
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (condition, panel) in zip(grid, panels.items(), strict=True):
            _dots(axes, panel, metric)
            axes.set_title(condition, loc="left")
            axes.set_xlabel(_with_unit(title(metric), metric))
        marks = _marks()
        if reference is not None:
            mean = float(np.mean(reference[1]))
            for axes in grid:
                axes.axvline((100 if unit(metric) else 1) * mean, color=GREY, linestyle="--", zorder=1)
            label = f"{reference[0]}, {written(metric, mean)}"
            marks.append(Line2D([], [], color=GREY, linestyle="--", label=label))
        figure.legend(handles=marks, loc="outside lower center", ncols=4, fontsize=8.5, handletextpad=0.4)
    return path


def sizes(
    path: Path,
    per_seed: Mapping[str, Sequence[float]],
    parameter_bytes: Mapping[str, int],
    flash_bytes: Mapping[str, int],
    metric: str = "accuracy",
) -> Path:
    """Draw the metric beside what it costs: flash of the linked firmware, and the parameters' share of it.

    Args:
        path: to write.
        per_seed: values per variant.
        parameter_bytes: per variant; variants that were not deployed are absent.
        flash_bytes: per variant; likewise.
        metric: its name, for the axis.
    """
    with drawing(path, width=10.5, height=1.5 + 0.55 * len(per_seed)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.15))
        _dots(left, per_seed, metric)
        left.set_xlabel(_with_unit(title(metric), metric))
        left.set_title("How well", loc="left")
        _legend_of_dots(left)
        most = max([*flash_bytes.values(), *parameter_bytes.values(), 1])
        for row, name in enumerate(per_seed):
            flash, parameters = flash_bytes.get(name), parameter_bytes.get(name)
            if flash is not None:
                right.barh(row, flash, height=0.5, color=PALETTE[5], alpha=0.55)
            if parameters is not None:
                right.barh(row, parameters, height=0.5, color=PALETTE[0])
            shown = [f"{value:,} B" for value in (parameters, flash) if value is not None]
            end = max(flash or 0, parameters or 0) + 0.015 * most
            right.text(end, row, " of ".join(shown) or "not deployed", va="center", color=INK, fontsize=9)
        right.set_xlim(0, most * 1.38)
        right.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        right.set_xlabel("bytes: parameters (dark) of flash (light)")
        right.set_title("How large", loc="left")
        right.grid(visible=False, axis="y")
        right.tick_params(axis="y", length=0)
    return path


def curves(
    path: Path,
    histories: Mapping[str, Sequence[History]],
    key: str,
    label: str,
    *,
    percent: bool = True,
) -> Path:
    """Draw a metric over the epochs: per variant the mean of its seeds, and a band from the lowest to the highest.

    Args:
        path: to write.
        histories: per variant, one history per seed.
        key: the metric's name in the histories; epochs that lack it are left out.
        label: for the axis, without the unit.
        percent: the values are shares in 0..1.
    """
    from matplotlib.ticker import MaxNLocator

    with drawing(path, width=7.6, height=4.2) as figure:
        axes = figure.add_subplot()
        factor = 100 if percent else 1
        for colour, (name, seeds) in zip(_colours(), histories.items(), strict=False):
            epochs, values = _aligned(seeds, key)
            if len(epochs) == 0:
                continue
            values = values * factor
            axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)
            axes.plot(epochs, values.mean(0), color=colour, linewidth=1.8, label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{label} (%)" if percent else label)
        axes.set_title("Mean of the seeds; band from lowest to highest", loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.01)
        if axes.lines:
            _start_late(axes, percent)
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return path


def weights(path: Path, layers: Mapping[str, NDArray[Any]]) -> Path:
    """Draw the distribution of each layer's weights, before they are rounded.

    Args:
        path: to write.
        layers: real weights of any shape, per matrix.
    """
    columns = min(3, max(1, len(layers)))
    rows = -(-len(layers) // columns)
    with drawing(path, width=3.5 * columns + 0.6, height=2.5 * max(1, rows) + 0.3) as figure:
        for index, (name, values) in enumerate(layers.items()):
            axes = figure.add_subplot(max(1, rows), columns, index + 1)
            flat = np.asarray(values, dtype=np.float64).ravel()
            flat = flat[np.isfinite(flat)]
            reach = float(np.abs(flat).max()) * 1.05 if flat.size and flat.any() else 1.0
            counts, edges = np.histogram(flat, bins=61, range=(-reach, reach))
            axes.stairs(100 * counts / max(1, flat.size), edges, fill=True, color=PALETTE[0])
            axes.axvline(0, color=GREY, linewidth=0.8)
            axes.set_title(f"{name}  ({flat.size:,})", loc="left", fontsize=9.5)
            axes.grid(visible=False, axis="x")
            if index % columns == 0:
                axes.set_ylabel("share of weights (%)")
            if index >= len(layers) - columns:
                axes.set_xlabel("weight before rounding")
    return path


def evolution(path: Path, layers: Mapping[str, NDArray[Any]], reach: float) -> Path:
    """Draw how each layer's weights came to their codewords: share of weights by place and epoch.

    Args:
        path: to write.
        layers: counts ``(epochs, bins)`` of weights over the largest codeword, per matrix.
        reach: of the bins, to both sides of 0.
    """
    columns = min(3, max(1, len(layers)))
    rows = -(-len(layers) // columns)
    with drawing(path, width=3.5 * columns + 0.6, height=2.6 * max(1, rows) + 0.3) as figure:
        for index, (name, counts) in enumerate(layers.items()):
            axes = figure.add_subplot(max(1, rows), columns, index + 1)
            share = 100.0 * counts.T / np.maximum(1, counts.sum(axis=1))
            # The root lets single weights between the codewords be seen beside a codeword that holds half of them.
            extent = (0.5, len(counts) + 0.5, -reach, reach)
            axes.imshow(np.sqrt(share), aspect="auto", origin="lower", cmap="Blues", extent=extent, vmin=0, vmax=7)
            axes.set_title(name, loc="left", fontsize=9.5)
            axes.grid(visible=False)
            if index % columns == 0:
                axes.set_ylabel("weight / largest codeword")
            if index >= len(layers) - columns:
                axes.set_xlabel("epoch")
    return path


def _dots(axes: Axes, per_seed: Mapping[str, Sequence[float]], metric: str) -> None:
    factor = 100 if unit(metric) else 1
    for row, (colour, values) in enumerate(zip(_colours(), per_seed.values(), strict=False)):
        if not values:
            continue
        shown = factor * np.asarray(values, dtype=np.float64)
        worst = factor * min(values, key=lambda value: merit(metric, value))
        spread = np.linspace(-0.16, 0.16, len(shown)) if len(shown) > 1 else np.zeros(1)
        axes.scatter(shown, row + spread, s=26, color=colour, alpha=0.75, linewidths=0, zorder=3)
        axes.vlines(shown.mean(), row - 0.32, row + 0.32, color=INK, linewidth=2.2, zorder=4)
        axes.scatter([worst], [row + 0.34], marker="^", s=24, color=INK, linewidths=0, zorder=4)
        axes.annotate(
            written(metric, float(np.mean(values))),
            (shown.mean(), row - 0.34),
            textcoords="offset points",
            xytext=(0, 2),
            ha="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(per_seed)), list(per_seed))
    axes.set_ylim(len(per_seed) - 0.4, -0.75)
    axes.margins(x=0.08)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _start_late(axes: Axes, percent: bool) -> None:
    """Cut off the steep first fifth of curves that rise, or of errors that fall, which would flatten all the rest."""
    heights = [np.asarray(line.get_ydata(), dtype=np.float64) for line in axes.lines]
    late = [values[len(values) // 5 :] for values in heights if len(values) >= 10]
    if len(late) < len(heights):
        return
    if percent and all(values[-1] > values[0] for values in heights):
        axes.set_ylim(bottom=min(values.min() for values in late))
    if not percent and all(values[-1] < values[0] for values in heights):
        axes.set_ylim(top=max(values.max() for values in late))


def _marks() -> list[Line2D]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=GREY, marker="o", markersize=5, linestyle="", label="one seed"),
        Line2D([], [], color=INK, marker="|", markersize=11, markeredgewidth=2.2, linestyle="", label="mean"),
        Line2D([], [], color=INK, marker="^", markersize=5, linestyle="", label="worst"),
    ]


def _legend_of_dots(axes: Axes) -> None:
    axes.legend(
        handles=_marks(),
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=3,
        fontsize=8.5,
        handletextpad=0.2,
        columnspacing=1.2,
        borderpad=0.2,
    )


def _aligned(seeds: Sequence[History], key: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return epochs ``(n,)`` that all seeds have, counted from 1, and their values ``(seeds, n)``."""
    length = min((len(history) for history in seeds), default=0)
    epochs = [epoch for epoch in range(length) if all(key in history[epoch] for history in seeds)]
    values = [[history[epoch][key] for epoch in epochs] for history in seeds]
    return np.asarray(epochs, dtype=np.int64) + 1, np.asarray(values, dtype=np.float64)


def _colours() -> list[str]:
    return [colour for _ in range(20) for colour in PALETTE]


def _with_unit(label: str, metric: str) -> str:
    return f"{label} ({unit(metric) or 'in units of the target, less is better'})"
