"""The trials of a search in one table: on a terminal alive while they run, elsewhere a line as each one ends.

At the end, and wherever the search is interrupted, the trials that no other one beats are printed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bitq.track.progress import ProgressBars

ROWS = 14
STYLES = {"running": "cyan", "pruned": "dim", "over": "dim", "failed": "bold red"}


@dataclass
class TrialRow:
    """One trial as it is shown.

    Attributes:
        number: of the trial.
        shown: its parameters, briefly.
        state: ``running``, ``complete``, ``pruned``, ``failed`` or ``over``.
        value: the objective in 0..1; NaN while there is none.
        costs: bytes and instructions, by name.
        note: epochs done, or why it failed.
    """

    number: int
    shown: str
    state: str = "running"
    value: float = math.nan
    costs: Mapping[str, float] = field(default_factory=dict[str, float])
    note: str = ""


class TrialTable:
    """A context manager that shows a search.

    Args:
        total: how many trials there will be.
        done: those that earlier commands trained.
        console: to print on; standard output by default.
    """

    def __init__(self, total: int, done: Sequence[TrialRow] = (), console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._rows = {row.number: row for row in done}
        self._total = total
        missing = total - sum(row.state != "over" for row in done)
        self._lines = ProgressBars("search", jobs=max(0, missing), unit="epochs", console=self._console)
        self._live: Live | None = None
        self.best: int | None = None

    def __enter__(self) -> TrialTable:
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        else:
            self._lines.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, row: TrialRow, epoch: int, epochs: int, detail: str = "") -> None:
        """Show how far a running trial is."""
        self._rows[row.number] = row
        row.note = f"{epoch}/{epochs} epochs" + (f", {detail}" if detail else "")
        if self._live is None:
            self._lines.update(f"trial {row.number}", epoch, epochs, detail)

    def finish(self, row: TrialRow, best: int | None) -> None:
        """Show that a trial has ended, and which one is the best so far."""
        self._rows[row.number] = row
        self.best = best
        if self._live is not None:
            return
        if row.state == "over":
            self._lines.note(f"trial {row.number}: over the budget, not trained: {row.shown}")
            return
        lead = " (best so far)" if best == row.number else ""
        told = describe(row) if row.state == "complete" else f"{row.state} {row.note}".strip()
        self._lines.finish(f"trial {row.number}", f"{told}{lead}")

    def _table(self) -> Table:
        counted = sum(row.state not in ("over", "running") for row in self._rows.values())
        table = Table(
            box=SIMPLE_HEAD, title=f"{counted} of {self._total} trials", title_justify="left", padding=(0, 1, 0, 0)
        )
        for heading in ("trial", "state", "val %", "bytes", "parameters", ""):
            table.add_column(heading, justify="right" if heading in ("trial", "val %", "bytes") else "left")
        latest = sorted(self._rows.values(), key=lambda row: (row.state == "running", row.number))[-ROWS:]
        if self.best is not None and all(row.number != self.best for row in latest):
            latest.insert(0, self._rows[self.best])
        for row in latest:
            leads = row.number == self.best
            cells = (
                str(row.number),
                row.state,
                _percent(row.value),
                _bytes(row),
                row.shown,
                "best" if leads else row.note,
            )
            # One line per trial in any terminal, so that all of them are seen: what is long is cut.
            lines = [Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells]
            table.add_row(*lines, style="bold green" if leads else STYLES.get(row.state, ""))
        return table


def describe(row: TrialRow) -> str:
    """Return one line about a completed trial."""
    costs = ", ".join(f"{value:,.0f} {_unit(name)}" for name, value in row.costs.items())
    return f"{_percent(row.value)} % on validation, {costs}, {row.shown}"


def print_front(rows: Sequence[TrialRow], best: int | None = None, console: Console | None = None) -> None:
    """Print the trials that no other one beats as aligned text, the cheapest first."""
    console = console or Console(highlight=False)
    names = list(rows[0].costs) if rows else []
    head = ["trial", "validation %", *map(_unit, names), "parameters"]
    body = [
        [str(row.number), _percent(row.value), *(f"{row.costs[name]:,.0f}" for name in names), row.shown]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    for row, line in zip([None, *rows], [head, *body], strict=True):
        cells = [cell.rjust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        lead = "   best" if row is not None and row.number == best else ""
        console.print(Text("  ".join([*cells, line[-1]]) + lead), soft_wrap=True)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}" if math.isfinite(value) else "-"


def _bytes(row: TrialRow) -> str:
    return f"{row.costs['parameter_bytes']:,.0f}" if "parameter_bytes" in row.costs else "-"


def _unit(name: str) -> str:
    return {"parameter_bytes": "B", "flash_bytes": "B flash", "ram_bytes": "B RAM"}.get(name, name)
