"""Compares methods: every network × method × bits × seed is one cell, trained once and kept.

    python -m pipelines.methods                                          # all cells; goes on where it stopped
    python -m pipelines.methods net=lenet method=ste_msqe,hq bits=1 seeds=5

Selection is nobody's here: each cell is trained with the same epochs and read at its last one. Results are one JSON
per cell, a table in markdown and CSV, and a figure per network, in ``mlruns/studies/methods``.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from bitq.codegen.emit import parameter_bytes
from bitq.config import ExperimentConfig, VariantConfig, compose
from bitq.core import files
from bitq.core.errors import BitqError, ConfigError, nearest
from bitq.core.processes import run_jobs
from bitq.data.dataset import Dataset
from bitq.data.load import load
from bitq.experiment import Job, run_job
from bitq.track import figures
from bitq.track.progress import ProgressBars
from bitq.track.result import Metric

NETS = {
    "mlp16": ("experiment=mnist", "data.side=16", "model=mlp", "train.epochs=12"),
    "lenet": ("experiment=mnist",),
    "cnn2k": ("experiment=mnist", "data.side=24", "model=cnn2d", "train.epochs=16"),
    "digits": ("experiment=digits",),
}
"""A network with its data and its budget, by name."""

BITS = {"float": "float", "8": "int8", "4": "odd4", "2": "odd2", "ternary": "ternary", "1": "bipolar"}
DEFAULT_METHODS = ("ste_msqe", "hq")
FOLDER = Path("mlruns/studies/methods")


@dataclass(frozen=True)
class Cell:
    """One training of the study; ``method`` is ``-`` for float and for 8 bits after training."""

    net: str
    method: str
    bits: str
    seed: int

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        return FOLDER / self.net / f"{self.method}-{self.bits}" / f"{self.seed}.json"


@dataclass(frozen=True)
class Result:
    """What a cell gave; metrics in 0..1 at the last epoch.

    Attributes:
        fingerprint: of the configuration; a cell of another one is trained again.
        test: the integer model (or the float network).
        before: the network as trained, before anything was rounded.
        flips_last_tenth: share of codes that changed in the last tenth of the epochs.
        within_1pct: share of weights within 1 % of a codeword at the end.
        parameter_bytes: every constant; 0 for float.
        cpu_s: of the training and evaluation.
    """

    fingerprint: str
    test: float
    before: float
    flips_last_tenth: float
    within_1pct: float
    parameter_bytes: int
    cpu_s: float


def run_cell(shared: None, cell: Cell) -> Result:
    """Train one cell in a worker process and keep its result."""
    config, data = config_of(cell), _data(cell.net)
    started = time.process_time()
    trained = run_job(data, Job(config, "cell", cell.seed, cell.path.parent / "weights"))
    flips = [epoch.get("weights/flips", 0.0) for epoch in trained.history]
    assert trained.test is not None
    assert trained.before is not None
    result = Result(
        config.fingerprint(),
        trained.test,
        trained.before,
        sum(flips[-max(1, len(flips) // 10) :]),
        trained.history[-1].get("weights/within_1pct", 0.0) if trained.history else 0.0,
        parameter_bytes(trained.graph) if trained.graph else 0,
        time.process_time() - started,
    )
    files.write_json(cell.path, asdict(result))
    return result


@cache
def config_of(cell: Cell) -> ExperimentConfig:
    """Return the configuration of a cell."""
    method = () if cell.method == "-" else (f"quant={cell.method}",)
    training = {"float": "float", "8": "ptq"}.get(cell.bits, "method")
    policy = {} if training == "float" else {"*": BITS[cell.bits]}
    config = compose([*NETS[cell.net], *method])
    return replace(config, variants={"cell": VariantConfig(policy, training)})


def cells_of(nets: Iterable[str], methods: Iterable[str], bits: Iterable[str], seeds: int) -> list[Cell]:
    """Return all cells, those without a method once per network."""
    kinds = [("-", b) for b in bits if b in ("float", "8")]
    kinds += [(m, b) for b in bits if b not in ("float", "8") for m in methods]
    return [Cell(net, method, b, seed) for net in nets for method, b in kinds for seed in range(seeds)]


def known(cell: Cell) -> Result | None:
    """Return the kept result of a cell, None where there is none of its present configuration."""
    if not cell.path.is_file():
        return None
    result = Result(**json.loads(cell.path.read_text()))
    return result if result.fingerprint == config_of(cell).fingerprint() else None


def rows(cells: Sequence[Cell]) -> list[dict[str, object]]:
    """Return one row per network, bits and method over all its finished seeds."""
    grouped: dict[tuple[str, str, str], list[Result]] = {}
    for cell in cells:
        if (result := known(cell)) is not None:
            grouped.setdefault((cell.net, cell.bits, cell.method), []).append(result)
    return [_row(key, results, grouped) for key, results in grouped.items()]


def main(arguments: Sequence[str]) -> int:
    """Run what is missing and write table and figures."""
    try:
        cells = cells_of(**_choices(arguments))
        missing = [cell for cell in cells if known(cell) is None]
        print(f"{len(cells)} cells, {len(cells) - len(missing)} known, {len(missing)} to train.")
        names = [f"{cell.net} {cell.method} {cell.bits} seed {cell.seed}" for cell in missing]
        with ProgressBars("methods", jobs=len(missing)) as progress:

            def on_report(place: int, value: tuple[int, dict[str, float]]) -> None:
                progress.update(names[place], value[0], config_of(missing[place]).train.epochs)

            for place, result, error in run_jobs(
                run_cell,
                None,
                missing,
                workers=os.cpu_count() or 1,
                on_report=on_report,
                preload=("bitq.experiment",),
            ):
                told = f"failed: {error}" if error else f"{100 * result.test:.2f} %"
                progress.finish(names[place], told)
        _write(cells)
    except BitqError as error:
        print(f"methods: {error}", file=sys.stderr)
        return error.exit_code
    return 0


@cache
def _data(net: str) -> Dataset:
    return load(compose([*NETS[net]]).data)


def _choices(arguments: Sequence[str]) -> dict[str, object]:
    given = dict(argument.split("=", 1) if "=" in argument else (argument, "") for argument in arguments)
    for key in given:
        if key not in ("net", "method", "bits", "seeds"):
            raise ConfigError(f"unknown argument '{key}'.{nearest(key, ('net', 'method', 'bits', 'seeds'))}")
    nets = given.get("net", "mlp16,lenet,cnn2k").split(",")
    bits = given.get("bits", "float,8,ternary,2,1").split(",")
    for value, allowed in [*((net, NETS) for net in nets), *((b, BITS) for b in bits)]:
        if value not in allowed:
            raise ConfigError(f"'{value}' is not known.{nearest(value, allowed)}")
    if not given.get("seeds", "5").isdigit():
        raise ConfigError(f"seeds: must be a number, got '{given['seeds']}'.")
    methods = given.get("method", ",".join(DEFAULT_METHODS)).split(",")
    return {"nets": nets, "methods": methods, "bits": bits, "seeds": int(given.get("seeds", "5"))}


def _row(
    key: tuple[str, str, str], results: list[Result], grouped: dict[tuple[str, str, str], list[Result]]
) -> dict[str, object]:
    net, bits, method = key
    test = Metric.over("accuracy", [r.test for r in results])
    base = grouped.get((net, "float", "-"), [])
    drop = Metric.over("accuracy", [r.test for r in base]).mean - test.mean if base else None
    return {
        "net": net,
        "bits": bits,
        "method": method,
        "seeds": len(results),
        "mean_pct": round(100 * test.mean, 3),
        "sd_pct": round(100 * test.std, 3),
        "worst_pct": round(100 * test.min, 3),
        "drop_points": "" if drop is None else round(100 * drop, 3),
        "largest_rounding_loss_points": round(100 * max(r.before - r.test for r in results), 3),
        "flips_last_tenth_pct": round(100 * max(r.flips_last_tenth for r in results), 3),
        "parameter_bytes": max(r.parameter_bytes for r in results),
        "cpu_s": round(sum(r.cpu_s for r in results) / len(results), 1),
    }


def _write(cells: Sequence[Cell]) -> None:
    table = rows(cells)
    if not table:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    files.write_text(FOLDER / "methods.csv", text.getvalue())
    lines = [" | ".join(map(str, row.values())) for row in table]
    head = [" | ".join(table[0]), "|".join(["---"] * len(table[0]))]
    markdown = "\n".join(f"| {line} |" for line in [*head, *lines]) + "\n"
    files.write_text(FOLDER / "methods.md", markdown)
    print(markdown)
    for net in dict.fromkeys(cell.net for cell in cells):
        found = {f"{c.bits} {c.method}".removesuffix(" -"): [] for c in cells if c.net == net}
        for cell in cells:
            if cell.net == net and (result := known(cell)) is not None:
                found[f"{cell.bits} {cell.method}".removesuffix(" -")].append(result.test)
        shown = {name: values for name, values in found.items() if values}
        if shown:
            print(figures.accuracy(FOLDER / f"{net}.png", shown))
    print(FOLDER / "methods.csv")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
