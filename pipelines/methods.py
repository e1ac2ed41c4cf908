"""Compares methods: every network × method × bits × seed is one cell, trained once and kept.

    python -m pipelines.methods                                          # all cells; goes on where it stopped
    python -m pipelines.methods net=lenet method=ste_msqe,hq bits=1 seeds=5
    python -m pipelines.methods net=lenet bits=1@conv2*+fc1* seeds=5     # 1 bit in these matrices, 8 in the others

Selection is nobody's here: each cell is trained with the same epochs and read at its last one. Results are one JSON
per cell, a table in markdown and CSV, and a figure per network, in ``mlruns/studies/methods``.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from bitq.codegen.emit import parameter_bytes
from bitq.config import ExperimentConfig, VariantConfig, compose
from bitq.core import files
from bitq.core.errors import BitqError, ConfigError, TrainingError, nearest
from bitq.core.processes import run_jobs
from bitq.data.dataset import Dataset
from bitq.data.load import load
from bitq.experiment import Job, Trained, run_job
from bitq.track import figures
from bitq.track.progress import ProgressBars
from bitq.track.result import Metric
from pipelines.arguments import choices

_TWO_KB = "model.channels=[12,20,30]"  # 1,958 bytes of constants at 1 bit
_SMALL = ("experiment=mnist", "data.side=24", "model=cnn2d", "train.augment=1.0")
_GESTURE = ("experiment=face2wake", "model=gesture", "train.batch=256", "train.epochs=90", "train.lr=0.002")

NETS = {
    "mlp16": ("experiment=mnist", "data.side=16", "model=mlp", "train.epochs=12"),
    "lenet": ("experiment=mnist",),
    "lenet64": ("experiment=mnist", "train.batch=64"),
    "lenet30k": ("experiment=mnist", "model.channels=[16,32]"),
    "cnn2k": ("experiment=mnist", "data.side=24", "model=cnn2d", _TWO_KB, "train.epochs=5"),
    "small2k": (*_SMALL, _TWO_KB, "train.epochs=20"),
    "small4k": (*_SMALL, "model.channels=[16,33,52]", "train.epochs=14"),
    "small8k": (*_SMALL, "model.channels=[16,32,64]", "model.last=54", "train.epochs=14"),
    "gesture": _GESTURE,
    "gesture2": (*_GESTURE, "model.width=2", "train.epochs=150", "train.lr=0.003"),
    "digits": ("experiment=digits",),
}
"""A network with its data and its budget, by name."""

BITS = {"float": "float", "8": "int8", "4": "odd4", "2": "odd2", "ternary": "ternary", "1": "bipolar"}
COMPARED = ("mlp16", "lenet", "cnn2k", "gesture")
DEFAULT_METHODS = ("ste_msqe", "bwn", "lsq", "binaryrelax", "parq", "hq", "proxquant")
FOLDER = Path("mlruns/studies/methods")


@dataclass(frozen=True)
class Cell:
    """One training of the study; ``method`` is ``-`` for float and for 8 bits after training.

    ``bits`` is a key of `BITS`, alone or as ``1@conv2*+fc1*``: in the matrices of these names, and 8 in the others.
    """

    net: str
    method: str
    bits: str
    seed: int

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        return FOLDER / self.net / f"{self.method}-{self.kind}" / f"{self.seed}.json"

    @property
    def kind(self) -> str:
        """The bits as part of a name: ``1_in_conv2_fc1``."""
        return re.sub(r"\W+", "_", self.bits.replace("@", "_in_")).strip("_")


@dataclass(frozen=True)
class Result:
    """What a cell gave; metrics in 0..1 at the last epoch.

    Attributes:
        fingerprint: of the configuration; a cell of another one is trained again.
        validation: the model to be delivered (integers, or the float network) on validation.
        test: the same on test.
        before: the network as trained, before anything was rounded, on test.
        rounded: with rounded weights and activations in float, on test.
        freezing: the curve on validation when freezing began, minus at its end.
        flips_last_tenth: share of codes that changed in the last tenth of the epochs.
        within_1pct: share of weights within 1 % of a codeword at the end.
        parameter_bytes: every constant; 0 for float.
        cpu_s: of the training and evaluation.
    """

    fingerprint: str
    validation: float
    test: float
    before: float
    rounded: float
    freezing: float
    flips_last_tenth: float
    within_1pct: float
    parameter_bytes: int
    cpu_s: float


def run_cell(shared: None, cell: Cell) -> Result:
    """Train one cell in a worker process and keep its result."""
    config, data = config_of(cell), _data(cell.net)
    twin = config_of(Cell(cell.net, "-", "float", cell.seed)).fingerprint()[:12]
    started = time.process_time()
    trained = run_job(data, Job(config, _variant(cell), cell.seed, FOLDER / cell.net / "weights" / twin))
    result = _result(config, trained, data.metric, time.process_time() - started)
    files.write_json(cell.path, asdict(result))
    return result


def _result(config: ExperimentConfig, trained: Trained, metric: str, cpu_s: float) -> Result:
    assert trained.test is not None
    assert trained.before is not None
    assert trained.rounded is not None
    epochs = trained.history
    flips = [epoch.get("weights/flips", 0.0) for epoch in epochs]
    curve = [epoch[f"val/{metric}"] for epoch in epochs]
    frozen = max(0, int(config.quant.freeze_start * len(curve)) - 1)
    return Result(
        config.fingerprint(),
        trained.validation,
        trained.test,
        trained.before,
        trained.rounded,
        curve[frozen] - curve[-1] if curve else 0.0,
        sum(flips[-max(1, len(flips) // 10) :]),
        epochs[-1].get("weights/within_1pct", 0.0) if epochs else 0.0,
        parameter_bytes(trained.graph) if trained.graph else 0,
        cpu_s,
    )


@cache
def config_of(cell: Cell) -> ExperimentConfig:
    """Return the configuration of a cell."""
    method = () if cell.method == "-" else (f"quant={cell.method}",)
    config = compose([*NETS[cell.net], *method])
    # The float twin stands beside it, so that what starts from it finds its weights.
    variants = {"float": VariantConfig(training="float")}
    if cell.bits != "float":
        variants[_variant(cell)] = VariantConfig(_policy(cell.bits), "ptq" if cell.bits == "8" else "method")
    return replace(config, variants=variants)


def _variant(cell: Cell) -> str:
    return "float" if cell.bits == "float" else f"{cell.method}_{cell.kind}".lstrip("-_")


def _policy(bits: str) -> dict[str, str]:
    book, _, places = bits.partition("@")
    if not places:
        return {"*": BITS[book]}
    return {"*": "int8", **dict.fromkeys(places.split("+"), BITS[book])}


def cells_of(nets: Iterable[str], methods: Iterable[str], bits: Iterable[str], seeds: int) -> list[Cell]:
    """Return all cells, those without a method once per network."""
    kinds = [("-", b) for b in bits if b in ("float", "8")]
    kinds += [(m, b) for b in bits if b not in ("float", "8") for m in methods]
    return [Cell(net, method, b, seed) for net in nets for method, b in kinds for seed in range(seeds)]


def known(cell: Cell) -> Result | None:
    """Return the kept result of a cell, None where there is none of its present configuration."""
    if not cell.path.is_file():
        return None
    kept = json.loads(cell.path.read_text())
    return Result(**kept) if kept["fingerprint"] == config_of(cell).fingerprint() else None


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
        floats = [cell for cell in missing if cell.bits == "float"]
        with ProgressBars("methods", jobs=len(missing)) as progress:
            for batch in (floats, [cell for cell in missing if cell not in floats]):
                _train(batch, progress)
        _write(cells)
        failed = [cell for cell in cells if known(cell) is None]
        if failed:
            raise TrainingError(f"{len(failed)} of {len(cells)} cells failed; their errors stand above.")
    except BitqError as error:
        print(f"methods: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _train(cells: Sequence[Cell], progress: ProgressBars) -> None:
    names = [f"{cell.net} {cell.method} {cell.bits} seed {cell.seed}" for cell in cells]

    def on_report(place: int, value: tuple[int, dict[str, float]]) -> None:
        progress.update(names[place], value[0], config_of(cells[place]).train.epochs)

    workers, preload = os.cpu_count() or 1, ("bitq.experiment",)
    for place, result, error in run_jobs(
        run_cell, None, cells, workers=workers, on_report=on_report, preload=preload
    ):
        progress.finish(names[place], f"failed: {error}" if error else f"{100 * result.test:.2f} %")


@cache
def _data(net: str) -> Dataset:
    return load(compose([*NETS[net]]).data)


def _choices(arguments: Sequence[str]) -> dict[str, object]:
    given = choices(
        arguments,
        net=",".join(COMPARED),
        method=",".join(DEFAULT_METHODS),
        bits="float,8,ternary,2,1",
        seeds="5",
    )
    nets, bits = given["net"].split(","), given["bits"].split(",")
    for value, allowed in [*((net, NETS) for net in nets), *((b.partition("@")[0], BITS) for b in bits)]:
        if value not in allowed:
            raise ConfigError(f"'{value}' is not known.{nearest(value, allowed)}")
    if not given["seeds"].isdigit():
        raise ConfigError(f"seeds: must be a number, got '{given['seeds']}'.")
    return {"nets": nets, "methods": given["method"].split(","), "bits": bits, "seeds": int(given["seeds"])}


def _row(
    key: tuple[str, str, str], results: list[Result], grouped: dict[tuple[str, str, str], list[Result]]
) -> dict[str, object]:
    net, bits, method = key
    test = Metric.over("metric", [r.test for r in results])
    validation = Metric.over("metric", [r.validation for r in results])
    base = grouped.get((net, "float", "-"), [])
    drops = [100 * (whole.test - r.test) for whole, r in zip(base, results, strict=False)]  # by seed
    return {
        "net": net,
        "bits": bits,
        "method": method,
        "seeds": len(results),
        "mean_pct": round(100 * test.mean, 3),
        "sd_pct": round(100 * test.std, 3),
        "worst_pct": round(100 * test.min, 3),
        "validation_pct": round(100 * validation.mean, 3),
        "drop_points": round(sum(drops) / len(drops), 3) if drops else "",
        "worst_drop_points": round(max(drops), 3) if drops else "",
        "rounding_loss_points": _largest(100 * abs(r.before - r.rounded) for r in results),
        "integers_loss_points": round(100 * sum(r.rounded - r.test for r in results) / len(results), 3),
        "freezing_loss_points": round(100 * sum(r.freezing for r in results) / len(results), 3),
        "worst_freezing_loss_points": _largest(100 * r.freezing for r in results),
        "converged_pct": round(100 * min(r.within_1pct for r in results), 3),
        "flips_last_tenth_pct": _largest(100 * r.flips_last_tenth for r in results),
        "parameter_bytes": max(r.parameter_bytes for r in results),
        "cpu_s": round(sum(r.cpu_s for r in results) / len(results), 1),
    }


def _draw(net: str, cells: Sequence[Cell]) -> None:
    """Draw a panel per bits with the methods under each other, 8 bits after training on top, float as a line."""
    found: dict[str, dict[str, list[float]]] = {}
    for cell in cells:
        if (result := known(cell)) is not None:
            found.setdefault(cell.bits, {}).setdefault(cell.method, []).append(result.test)
    plain = {bits: found.pop(bits)["-"] for bits in ("float", "8") if bits in found}
    methods = dict.fromkeys(method for values in found.values() for method in values)
    top = {"8 bits, rounded after training": plain["8"]} if "8" in plain else {}
    panels = {{"ternary": "ternary", "1": "1 bit"}.get(bits, f"{bits} bits"): found[bits] for bits in found}
    if panels:
        panels = {title: top | {name: values.get(name, []) for name in methods} for title, values in panels.items()}
        reference = ("float", plain["float"]) if "float" in plain else None
        print(figures.compared(FOLDER / f"{net}.png", panels, reference, _data(net).metric))
    elif plain:
        print(figures.accuracy(FOLDER / f"{net}.png", plain))


def _largest(values: Iterable[float]) -> float:
    return round(max(values), 3)


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
        _draw(net, [cell for cell in cells if cell.net == net])
    print(FOLDER / "methods.csv")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
