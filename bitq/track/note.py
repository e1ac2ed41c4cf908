"""Markdown that stands at the top of a run's page in MLflow: the same table as on the screen, and what is where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bitq.track.names import shortened
from bitq.track.result import VariantResult
from bitq.track.table import HEADINGS, cells


def variants_note(variants: Mapping[str, VariantResult], lines: Sequence[str]) -> str:
    """Return a table with a row per variant, then some lines of text."""
    return shortened("\n".join([*_table(variants), "", *lines]))


def variant_note(name: str, result: VariantResult, seeds: Sequence[int]) -> str:
    """Return the table of one variant, its seeds one by one, its bits, and where its C lies."""
    rows = _table({name: result})
    rows += ["", "| seed | before rounding | after rounding |", "|---|---|---|"]
    pairs = zip(seeds, result.metric_before_rounding.per_seed, result.metric.per_seed, strict=False)
    for seed, before, after in pairs:
        mark = " (deployed)" if seed == result.deployed_seed else ""
        rows.append(f"| {seed}{mark} | {before:.2%} | {after:.2%} |")
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
    rows = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    return rows + ["| " + " | ".join(cells(name, result)) + " |" for name, result in variants.items()]
