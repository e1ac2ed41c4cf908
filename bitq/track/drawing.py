"""How every figure looks: colours, letters, and a file that is written whole."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitq.core import files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B5B5B")
"""Colours of Okabe and Ito (jfly.uni-koeln.de/color), told apart with every common colour vision."""

INK, GREY, PALE = "#222222", "#8A8A8A", "#E4E4E4"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "figure.dpi": 150,
    "svg.hashsalt": "bitq",
}


class drawing:  # noqa: N801  used like a function
    """Open a figure in our style; at the end of the block it is written, whole, to the path."""

    def __init__(self, path: Path, width: float, height: float) -> None:
        self.path, self.size = path, (width, height)

    def __enter__(self) -> Figure:
        import matplotlib as mpl
        from matplotlib.figure import Figure

        self.style = mpl.rc_context(STYLE)
        self.style.__enter__()
        self.figure = Figure(figsize=self.size, layout="constrained")
        return self.figure

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                form = self.path.suffix[1:]
                metadata = {"Date": None} if form == "svg" else {"Software": None}
                content = io.BytesIO()
                self.figure.savefig(content, format=form, metadata=metadata, bbox_inches="tight", pad_inches=0.15)
                files.write_bytes(self.path, content.getvalue())
        finally:
            self.style.__exit__(None, None, None)
