"""The stages of a run: train every variant over all seeds, pick on validation, deliver, sum up."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bitq.config import ExperimentConfig
from bitq.core.errors import BitqError, DeployError
from bitq.core.metrics import merit, with_unit
from bitq.core.processes import run_jobs
from bitq.data.dataset import Dataset
from bitq.deliver import Delivered, Delivery, run_delivery
from bitq.experiment import Job, Trained, needs_float_twin, run_job
from bitq.nn.config import OnnxConfig
from bitq.track.progress import ProgressBars
from bitq.track.result import Kind, Metric, TargetResult, VariantResult
from bitq.track.table import say
from bitq.trees.config import ForestConfig

T = TypeVar("T")
Runs = dict[str, list[Trained]]
"""Trainings by variant, in the order of the seeds."""

_PRELOAD = ("bitq.experiment", "bitq.deliver")


def announce(config: ExperimentConfig, data: Dataset) -> None:
    """Say what is about to happen."""
    counts = ", ".join(f"{count:,} {split}" for split, count in data.counts.items())
    say(f"{config.experiment}: {data.source} data, {counts} rows of {tuple(data.input.shape)}.")
    for note in data.notes:
        say(f"Note: {note}")
    if config.search is not None:
        return
    what = f"{', '.join(config.variants)} with {_several(config.repeats, 'seed')}"
    if isinstance(config.model, ForestConfig):
        say(f"{what}, {config.model.budget_bytes:,} bytes at most.")
        return
    if isinstance(config.model, OnnxConfig) and any(v.training == "given" for v in config.variants.values()):
        say(f"{config.model.path} is quantized already: its integers are taken as they are, and nothing is trained.")
        return
    trainings = sum(variant.training != "ptq" for variant in config.variants.values()) * config.repeats
    say(f"{what}: {_several(trainings, 'training')} of {_several(config.train.epochs, 'epoch')}.")


def _several(count: int, thing: str) -> str:
    return f"{count} {thing}" + ("" if count == 1 else "s")


def failures(delivered: dict[str, Delivered]) -> list[str]:
    """Return one line per variant whose C is not exact or misses its budget."""
    lines: list[str] = []
    for variant, made in delivered.items():
        measured = made.measurement
        wrong = made.host_mismatches + measured.mismatches
        if wrong:
            lines.append(f"{variant}: {wrong} samples differ between the C and the reference; do not ship it")
        lines += [f"{variant}: {excess}" for excess in measured.over_budget]
    return lines


def refuse(lines: list[str]) -> None:
    """Raise what `failures` found.

    Raises:
        DeployError: there is something.
    """
    if lines:
        raise DeployError("; ".join(lines))


def train(config: ExperimentConfig, data: Dataset, folder: Path) -> Runs:
    """Train every variant with every seed in worker processes.

    Variants that start from the float networks, or learn from them, come last.

    Raises:
        BitqError: the first error of a job.
    """
    jobs = [Job(config, variant, seed, folder) for variant in config.variants for seed in config.seeds]
    after = [job for job in jobs if needs_float_twin(job)]
    first = [job for job in jobs if job not in after]
    found: dict[str, dict[int, Trained]] = defaultdict(dict)
    unit = "sizes" if isinstance(config.model, ForestConfig) else "epochs"
    with ProgressBars("training", jobs=len(jobs), unit=unit) as progress:
        for batch in (first, after):
            labels = [f"{job.variant} seed {job.seed}" for job in batch]
            for trained in _all(run_job, data, batch, config, labels, progress, config.train.epochs):
                found[trained.variant][trained.seed] = trained
    return {variant: [found[variant][seed] for seed in config.seeds] for variant in config.variants}


def deliver(config: ExperimentConfig, data: Dataset, runs: Runs, folder: Path) -> dict[str, Delivered]:
    """Write, run and compare the firmware of every integer variant, for the seed that is best on validation."""
    deliveries = [
        Delivery(variant, graph, folder / variant / "deploy", config.target)
        for variant, trained in runs.items()
        if (graph := best(trained).graph) is not None
    ]
    with ProgressBars("firmware", jobs=len(deliveries), unit="samples") as progress:
        labels = [d.variant for d in deliveries]
        done = list(_all(run_delivery, data, deliveries, config, labels, progress, 0))
    return {d.variant: d for d in done}


def best(trained: Sequence[Trained]) -> Trained:
    """Return the run with the best validation metric, the lowest seed on ties."""
    return max(trained, key=lambda t: (merit(t.metric, t.validation), -t.seed))


def summarize(
    data: Dataset, runs: Runs, delivered: dict[str, Delivered], folder: Path, target: str
) -> dict[str, VariantResult]:
    """Bring trainings and firmware together, one result per variant."""
    return {
        variant: _variant(data, trained, delivered.get(variant), folder / variant / "deploy", target)
        for variant, trained in runs.items()
    }


def kind_of(trained: Trained) -> Kind:
    """Return what to call a model with these bits per matrix; one of integers without matrices is trees."""
    widths = set(trained.bits.values())
    if not widths:
        return "float" if trained.graph is None else "tree"
    if len(widths) > 1:
        return "hybrid"
    return {1: "binary", 8: "int8"}.get(widths.pop(), "nbit")  # pyright: ignore[reportReturnType]


def _variant(
    data: Dataset, trained: list[Trained], made: Delivered | None, deploy: Path, target: str
) -> VariantResult:
    deployed = best(trained)  # where bits are learned, seeds differ in them
    result = VariantResult(
        kind=kind_of(deployed),
        bits=deployed.bits,
        metric=Metric.over(data.metric, [_known(t.test) for t in trained]),
        metric_before_rounding=Metric.over(data.metric, [_known(t.before) for t in trained]),
        convergence=_convergence(trained),
        metric_validation=Metric.over(data.metric, [t.validation for t in trained]),
        given=trained[0].given,
    )
    if made is not None:
        m = made.measurement
        result.parameter_bytes = made.parameter_bytes
        result.deployed_seed = deployed.seed
        result.deploy = str(deploy)
        result.host_samples_checked = made.host_samples
        result.host_mismatches = made.host_mismatches
        result.targets[target] = TargetResult(
            compiler=m.compiler,
            flags=m.flags,
            executed=m.executed,
            flash_bytes=m.flash_bytes,
            flash_image_bytes=m.flash_image_bytes,
            ram_bytes=m.ram_bytes,
            stack_bytes=m.stack_bytes,
            instructions=m.instructions,
            samples_checked=m.samples_checked,
            mismatches=m.mismatches,
            cycles_estimate=m.cycles_estimate,
        )
    return result


def _convergence(trained: list[Trained]) -> dict[str, float]:
    """Return the weights within 1 % of a codeword at the end and the codes changed in the last tenth; worst seeds."""
    histories = [t.history for t in trained if t.history and "weights/flips" in t.history[-1]]
    if not histories:
        return {}
    last = max(1, len(histories[0]) // 10)
    return {
        "within_1pct": min(h[-1]["weights/within_1pct"] for h in histories),
        "flips_last_tenth": max(sum(epoch["weights/flips"] for epoch in h[-last:]) for h in histories),
    }


def _known(value: float | None) -> float:
    assert value is not None
    return value


def _all(
    function: Callable[[Any, Any], T],
    data: Dataset,
    jobs: Sequence[Any],
    config: ExperimentConfig,
    labels: Sequence[str],
    progress: ProgressBars,
    epochs: int,
) -> list[T]:
    """Run jobs to the end, with progress, and return their results; the first error ends it all."""
    results: list[T] = []
    workers = config.workers or os.cpu_count() or 1

    def on_report(index: int, value: Any) -> None:
        done, detail = value
        if isinstance(detail, dict):
            metric = detail[f"val/{data.metric}"]
            progress.update(labels[index], done, epochs, f"validation {with_unit(data.metric, metric, 1)}")
        else:
            progress.update(labels[index], done, detail)

    for index, result, error in run_jobs(
        function, data, jobs, workers=workers, on_report=on_report, preload=_PRELOAD
    ):
        if isinstance(error, BitqError):
            raise type(error)(f"{labels[index]}: {error}") from error
        if error is not None:
            raise error
        results.append(result)
        progress.finish(labels[index])
    return results
