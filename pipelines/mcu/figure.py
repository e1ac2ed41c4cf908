"""Flash against instructions, a panel per network and core: down and left is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.ticker import NullFormatter

from bitq.track.drawing import INK, PALETTE, drawing


class Point(NamedTuple):
    """One binary of an engine: what it costs, and whether it was measured earlier."""

    network: str
    core: str
    engine: str
    flash_bytes: int
    instructions: int
    earlier: bool


def draw(path: Path, points: Sequence[Point]) -> Path:
    """Draw every binary as a dot on logarithmic axes, an engine's joined by a line; hollow: measured earlier."""
    networks = list(dict.fromkeys(point.network for point in points))
    cores = list(dict.fromkeys(point.core for point in points))
    with drawing(path, width=4.6 * len(cores), height=3.2 * len(networks)) as figure:
        panels = figure.subplots(len(networks), len(cores), squeeze=False)
        for network, row in zip(networks, panels, strict=True):
            for core, axes in zip(cores, row, strict=True):
                inside = [point for point in points if (point.network, point.core) == (network, core)]
                for engine, earlier in dict.fromkeys((point.engine, point.earlier) for point in inside):
                    mine = sorted(
                        (p.flash_bytes, p.instructions) for p in inside if (p.engine, p.earlier) == (engine, earlier)
                    )
                    colour = PALETTE[0] if engine.startswith("bitq") else PALETTE[1]
                    axes.plot(*zip(*mine, strict=True), color=colour, linewidth=0.6, alpha=0.5)
                    face = "none" if earlier else colour
                    axes.scatter(*zip(*mine, strict=True), s=28, facecolors=face, edgecolors=colour)
                    axes.annotate(engine, mine[0], (4, 4), textcoords="offset points", fontsize=6, color=INK)
                axes.set(xscale="log", yscale="log", xlabel="bytes of flash", ylabel="instructions per inference")
                axes.set_title(f"{network} on {core}", loc="left")
                axes.xaxis.set_minor_formatter(NullFormatter())
                axes.margins(0.18)
    return path
