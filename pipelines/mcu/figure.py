"""Flash against instructions, a panel per network and core: down and left is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bitq.track.figures import INK, PALETTE, drawing


class Point(NamedTuple):
    """One engine: what it costs, and whether it was measured earlier."""

    network: str
    core: str
    engine: str
    flash_bytes: int
    instructions: int
    earlier: bool


def draw(path: Path, points: Sequence[Point]) -> Path:
    """Draw every engine as a dot on logarithmic axes; hollow dots were measured earlier."""
    networks = list(dict.fromkeys(point.network for point in points))
    cores = list(dict.fromkeys(point.core for point in points))
    with drawing(path, width=4.6 * len(cores), height=3.2 * len(networks)) as figure:
        panels = figure.subplots(len(networks), len(cores), squeeze=False)
        for network, row in zip(networks, panels, strict=True):
            for core, axes in zip(cores, row, strict=True):
                for point in points:
                    if (point.network, point.core) == (network, core):
                        colour = PALETTE[0] if point.engine.startswith("bitq") else PALETTE[1]
                        face = "none" if point.earlier else colour
                        place = (point.flash_bytes, point.instructions)
                        axes.scatter(*place, s=28, facecolors=face, edgecolors=colour)
                        axes.annotate(point.engine, place, (4, 3), textcoords="offset points", fontsize=6, color=INK)
                axes.set(xscale="log", yscale="log", xlabel="bytes of flash", ylabel="instructions per inference")
                axes.set_title(f"{network} on {core}", loc="left")
                axes.margins(0.18)
    return path
