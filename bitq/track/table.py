"""The table at the end of a run: one row per variant, then what a reader must know, last the path of result.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitq.core.metrics import ERRORS, TITLES, unit, with_spread, written
from bitq.track.result import RunResult, TargetResult, VariantResult
from bitq.track.tracker import Link

MAX_WIDTH = 120
HEADINGS = (
    "variant",
    "test %",
    "worst",
    "before → after",
    "param B",
    "flash B",
    "RAM B",
    "instructions",
    "exact",
)


def cells(name: str, result: VariantResult, target: TargetResult | None = None) -> tuple[str, ...]:
    """Return the row of a variant under `HEADINGS`, as text.

    Args:
        name: of the variant.
        result: what was measured; shares as % with two decimals, errors in their units, sizes in bytes.
        target: whose sizes to show; the variant's first one where none is given.
    """
    target = target or next(iter(result.targets.values()), None)
    shown = partial(written, result.metric.name)
    return (
        name,
        with_spread(result.metric.name, result.metric.mean, result.metric.std)
        if len(result.metric.per_seed) > 1
        else shown(result.metric.mean),
        shown(result.metric.worst),
        "n/a"
        if result.kind == "float"
        else f"{shown(result.metric_before_rounding.mean)} → {shown(result.metric.mean)}",
        _count(result.parameter_bytes),
        _count(target.flash_bytes if target else None),
        _count(target.ram_bytes if target else None),
        _count(target.instructions if target else None),
        {None: "n/a", True: "yes", False: "NO"}[result.exact],
    )


def headings(results: Iterable[VariantResult]) -> tuple[str, ...]:
    """Return `HEADINGS` for what judges these variants."""
    units = {unit(result.metric.name) for result in results} or {"%"}
    return (HEADINGS[0], f"test {'/'.join(sorted(units))}".strip(), *HEADINGS[2:])


def say(line: str) -> None:
    """Print a line of plain text on standard output."""
    Console(highlight=False).print(Text(line), soft_wrap=True)


def print_end(
    result: RunResult,
    result_path: Path,
    link: Link | None = None,
    *,
    notes: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print the end of a run; on a terminal with colours, else as aligned text of at most 120 columns.

    Args:
        result: of the run.
        result_path: printed last, alone on its line.
        link: where to look at the runs.
        notes: what else a reader must know, printed below the table.
        console: to print on; standard output by default.
    """
    console = console or Console(highlight=False)
    rows = [
        cells(f"{name} {on}".strip(), variant, target)
        for name, variant in result.variants.items()
        for on, target in _targets(variant)
    ]
    console.print()
    head = headings(result.variants.values())
    coloured = _rich(head, rows)
    unlimited = console.options.update(width=10_000)
    if rows and console.is_terminal and console.measure(coloured, options=unlimited).maximum <= console.width:
        console.print(coloured)
    elif rows:  # too narrow a terminal gets whole numbers, wrapped, rather than cut ones
        _lines(console, _plain(head, rows))
    _lines(console, [*_remarks(result), *(f"Note: {note}" for note in notes)])
    for name, variant in result.variants.items():
        if variant.deploy is not None:
            _lines(console, [f"C code ({name}): {variant.deploy}"])
    if link is not None:
        _lines(console, [f"Look at it: {link.command}", f"            {link.url}"])
    _lines(console, [str(result_path)])


def _targets(variant: VariantResult) -> list[tuple[str, TargetResult | None]]:
    if len(variant.targets) < 2:
        return [("", next(iter(variant.targets.values()), None))]
    return [(f"@ {name}", target) for name, target in variant.targets.items()]


def _remarks(result: RunResult) -> list[str]:
    names = sorted({variant.metric.name for variant in result.variants.values()})
    head = headings(result.variants.values())[1].capitalize()
    seeds = len(result.seeds)
    how = f"as mean ± standard deviation over {seeds} seeds" if seeds > 1 else "of a single seed"
    less = "; in units of the target, less is better" if ERRORS & set(names) else ""
    named = [f"{name} ({TITLES[name]})" if name in TITLES else name for name in names]
    lines = [f"{head}: {', '.join(named)} {how}{less}."] if names else []
    targets = {
        f"{name}: {target.compiler} {target.flags}{_executed(target)}"
        for variant in result.variants.values()
        for name, target in variant.targets.items()
    }
    lines += sorted(targets)
    source = str(result.data.get("source", "unknown"))
    if source == "simulated":
        lines.append("Data: SIMULATED, not recorded; these figures say nothing certain about real sensors.")
    else:
        lines.append(f"Data: {source}.")
    unexact = [name for name, variant in result.variants.items() if variant.exact is False]
    if unexact:
        lines.append(f"NOT EXACT: the C of {', '.join(unexact)} differs from the reference; do not ship it.")
    if result.status != "finished":
        lines.append(f"Status: {result.status}" + (f": {result.error}" if result.error else "."))
    return lines


def _executed(target: TargetResult) -> str:
    return f", executed in {target.executed}" if target.executed else ", NOT EXECUTED (no emulator)"


def _plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    widths[0] = max(8, min(widths[0], MAX_WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)))
    text: list[str] = []
    for row in table:
        first = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 1] + "…"
        others = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        text.append("  ".join([first.ljust(widths[0]), *others]).rstrip())
    return [text[0], "-" * max(map(len, text)), *text[1:], ""]


def _rich(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in head:
        table.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    for row in rows:
        style = {"yes": "green", "NO": "bold red"}.get(row[-1], "dim")
        table.add_row(Text(row[0], style="bold"), *row[1:-1], Text(row[-1], style=style))
    return table


def _lines(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _count(value: Any) -> str:
    return "-" if value is None else f"{value:,}"
