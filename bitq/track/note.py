"""Markdown that stands at the top of a run's page in MLflow: the same table as on the screen, and what is where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from bitq.core.metrics import with_unit
from bitq.track.names import shortened
from bitq.track.result import VariantResult
from bitq.track.table import cells, headings


def variants_note(variants: Mapping[str, VariantResult], lines: Sequence[str]) -> str:
    """Return a table with a row per variant, then some lines of text."""
    return shortened("\n".join([*_table(variants), "", *lines]))


def variant_note(name: str, result: VariantResult, seeds: Sequence[int]) -> str:
    """Return the table of one variant, its seeds one by one, its bits, and where its C lies."""
    rows = _table({name: result})
    pairs = zip(seeds, result.metric_before_rounding.per_seed, result.metric.per_seed, strict=False)
    shown = partial(with_unit, result.metric.name)
    repeats = [
        (f"{seed}" + (" (deployed)" if seed == result.deployed_seed else ""), shown(before), shown(after))
        for seed, before, after in pairs
    ]
    rows += ["", "Seed by seed (curves are in the child runs):", ""]
    rows += _rows(("seed", "before rounding", "after rounding"), repeats)
    if result.bits:
        rows += ["", "Bits: " + ", ".join(f"{matrix} {bits}" for matrix, bits in result.bits.items())]
    if result.deploy is not None:
        checked = f"{result.host_samples_checked:,} rows on the host, {result.host_mismatches} differ"
        for target, measured in result.targets.items():
            where = f" in {measured.executed}" if measured.executed else ""
            checked += f"; {measured.samples_checked:,} on {target}{where}, {measured.mismatches} differ"
        rows += ["", f"C in the artifacts: `deploy/` to build, `c/` to read. Compared: {checked}."]
    return shortened("\n".join(rows))


def _table(variants: Mapping[str, VariantResult]) -> list[str]:
    return _rows(headings(variants.values()), [cells(name, result) for name, result in variants.items()])


def _rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    # MLflow draws cells without any padding: a hard space between them keeps columns apart.
    text = ["| " + " &nbsp;| ".join(cell.replace("|", "/") for cell in line) + " |" for line in (headings, *rows)]
    return [text[0], "|" + "---|" * len(headings), *text[1:]]
