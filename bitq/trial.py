"""One trial of a search, in a worker process: predict what it costs, train its repeats, report each one that is done.

Values come in and values go out; the parent keeps them. Beside it the table of sensitivities that a search begins
with.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bitq.codegen.deploy import NO_LABEL, vectors_of, write_deploy
from bitq.codegen.emit import parameter_bytes
from bitq.codegen.manifest import DeployInfo
from bitq.config import ExperimentConfig, VariantConfig, named_method
from bitq.core.processes import report
from bitq.data.dataset import Dataset, to_chip
from bitq.device.config import TargetConfig
from bitq.device.verify import verify
from bitq.experiment import FEW, Job, build_model, lowered, run_repeats
from bitq.ir.graph import Graph
from bitq.ir.reference import evaluate
from bitq.quant.codebook import FOR_BITS
from bitq.quant.quantizer import Quantizer
from bitq.search.config import Params
from bitq.search.outcome import Outcome, Trial
from bitq.space import variant_of
from bitq.train.fit import fit
from bitq.train.inference import reestimate_batch_norm, to_float
from bitq.train.tasks import TASKS

VARIANT = "trial"
FIRST_SEED = 1000
"""Trials train with seeds from here on, so that the final repeats are fresh."""

_ROWS = 4000  # of a split, for a loss


@dataclass(frozen=True)
class TrialJob:
    """What a worker does for one trial.

    Attributes:
        trial: of the study.
        config: the experiment, with the one variant `VARIANT`.
        repeats: how many trainings.
        spread: k of the objective ``mean − k · std``.
        costs: what is to be predicted; see `bitq.search.config.COSTS`.
        limits: of the costs.
        known: validation metric of the repeats that are finished, by seed.
        predicted: costs, as far as another trial of the same network has found them out.
    """

    trial: Trial
    config: ExperimentConfig
    repeats: int
    spread: float
    costs: tuple[str, ...]
    limits: dict[str, int]
    known: dict[int, float]
    predicted: dict[str, float]

    @property
    def seeds(self) -> range:
        """Of the trainings."""
        first = self.config.seed + FIRST_SEED
        return range(first, first + self.repeats)


@dataclass(frozen=True)
class Costs:
    """Reported at once: what the trial costs."""

    values: dict[str, float]


@dataclass(frozen=True)
class Repeat:
    """Reported when a repeat has ended: its seed and its validation metric."""

    seed: int
    validation: float


def run_trial(data: Dataset, job: TrialJob) -> Outcome:
    """Train one trial's repeats and return its objective and its costs; the test split stays unread.

    Repeats of a tiny network are trained all at once (`bitq.train.stacked`).
    A trial that would exceed a limit is not trained. Repeats that an earlier process finished are not trained again.
    """
    torch.set_num_threads(1)
    costs = job.predicted
    if not {"parameter_bytes", *job.costs} <= set(costs):
        costs = predict_costs(job.config, data, VARIANT, job.costs)
    report(Costs(costs))
    if any(costs[name] > limit for name, limit in job.limits.items()):
        return Outcome(job.trial, "over", costs=costs)
    known = _train(data, job)
    values = [known[seed] for seed in job.seeds]
    value = statistics.fmean(values) - job.spread * (statistics.stdev(values) if len(values) > 1 else 0.0)
    return Outcome(job.trial, "complete", tuple(values), value, costs)


def _train(data: Dataset, job: TrialJob) -> dict[int, float]:
    """Return the validation metric of each seed; each is reported as soon as it is known."""
    found = dict(job.known)
    if set(job.seeds) - set(found):
        with tempfile.TemporaryDirectory(prefix="bitq-trial-") as folder:
            jobs = [Job(job.config, VARIANT, seed, Path(folder), on_test=False) for seed in job.seeds]
            for trained in run_repeats(data, jobs, job.known):
                found[trained.seed] = trained.validation
                report(Repeat(trained.seed, trained.validation))
    return found


def predict_costs(config: ExperimentConfig, data: Dataset, variant: str, names: Sequence[str]) -> dict[str, float]:
    """Return what a variant will cost, from the same network with untrained weights.

    Shapes and bits decide; the weights' values change flash, RAM and instructions by less than 5 %, as
    ``python -m pytest -m long tests/pipelines/test_mcu.py -k tell_what`` finds for its networks.

    Args:
        config: the experiment.
        data: for the shapes, and rows to run.
        variant: an integer one.
        names: of the costs; those of the firmware need a compiler and an emulator.
    """
    own = config.of(variant)
    graph = _untrained(own, data, config.variants[variant].policy)
    costs: dict[str, float] = {"parameter_bytes": parameter_bytes(graph)}
    if set(names) - set(costs):
        costs |= _measured(graph, data, config.target)
    return costs


def predicted_bytes(config: ExperimentConfig, data: Dataset) -> Callable[[Params], int]:
    """Return what tells the `parameter_bytes` of a trial; each network is counted once, in some milliseconds."""
    counted: dict[str, int] = {}

    def count(params: Params) -> int:
        one = with_trial(config, variant_of(config, params))
        if (key := network_of(one)) not in counted:
            counted[key] = parameter_bytes(_untrained(one.of(VARIANT), data, one.variants[VARIANT].policy))
        return counted[key]

    return count


def network_of(config: ExperimentConfig) -> str:
    """Return a name for the untrained network of a trial: equal ones cost the same."""
    own = config.of(VARIANT)
    return repr((config.variants[VARIANT].policy, own.model, own.quant.scale))


@dataclass(frozen=True)
class Sensitivities:
    """What rounding one matrix alone does, per matrix and bits.

    Attributes:
        losses: on validation, minus that of the float network.
        sizes: bytes of the constants, minus those at the fewest bits everywhere.
        least: bytes of the constants at the fewest bits everywhere.
    """

    losses: dict[str, dict[int, float]]
    sizes: dict[str, dict[int, int]]
    least: int


@dataclass(frozen=True)
class SensitivityJob:
    """Which matrices and bits to try; ``config`` is the experiment."""

    config: ExperimentConfig
    matrices: tuple[str, ...]
    bits: tuple[int, ...]


def measure_sensitivities(data: Dataset, job: SensitivityJob) -> Sensitivities:
    """Train one float network and round one matrix at a time, each to each number of bits."""
    torch.set_num_threads(1)
    config, seed = job.config, job.config.seed + FIRST_SEED
    model = build_model(config, data, seed)
    fit(model, data, config.train, seed, on_test=False, on_epoch=lambda epoch, log: report((epoch, log)))
    start = _loss(copy.deepcopy(model), data)
    lowest = dict.fromkeys(job.matrices, FOR_BITS[min(job.bits)])
    least = parameter_bytes(_untrained(config, data, lowest))
    losses: dict[str, dict[int, float]] = {}
    sizes: dict[str, dict[int, int]] = {}
    for matrix in job.matrices:
        losses[matrix], sizes[matrix] = {}, {}
        for bits in job.bits:
            rounded = Quantizer(copy.deepcopy(model), {matrix: FOR_BITS[bits]}, named_method("ptq")).finish().model
            losses[matrix][bits] = _loss(rounded, data) - start
            graph = _untrained(config, data, {**lowest, matrix: FOR_BITS[bits]})
            sizes[matrix][bits] = parameter_bytes(graph) - least
    return Sensitivities(losses, sizes, least)


def with_trial(config: ExperimentConfig, variant: VariantConfig) -> ExperimentConfig:
    """Return the experiment with this one variant, called `VARIANT`."""
    return replace(config, variants={VARIANT: variant})


def _untrained(config: ExperimentConfig, data: Dataset, policy: dict[str, str]) -> Graph:
    """Return a network with as many multipliers as a trained one: of the method's scales, and of the norms."""
    method = replace(named_method("ptq"), scale=config.quant.scale)
    quantized = Quantizer(build_model(config, data, 0), policy, method).finish()
    reestimate_batch_norm(quantized.model, to_float(data.train.x[:FEW], data.input))
    return lowered(data, quantized, "untrained", FEW)


def _measured(graph: Graph, data: Dataset, target: TargetConfig) -> dict[str, float]:
    rows = to_chip(data.train.x[:FEW])
    truth = evaluate(graph, rows)
    with tempfile.TemporaryDirectory(prefix="bitq-cost-") as folder:
        vectors = vectors_of(graph, rows, np.full(len(rows), NO_LABEL), at_least=len(rows))
        write_deploy(Path(folder), graph, DeployInfo(hop=target.hop), vectors, target.optimize)
        measured = verify(Path(folder), replace(target, samples=0), rows, truth.scores, truth.winners)
    found: dict[str, Any] = {name: getattr(measured, name) for name in ("flash_bytes", "ram_bytes", "instructions")}
    return {name: float(value) for name, value in found.items() if value is not None}


@torch.no_grad()
def _loss(model: nn.Module, data: Dataset) -> float:
    """Return the loss on validation, with batch-norm statistics that fit the weights as they are."""
    reestimate_batch_norm(model, to_float(data.train.x[:_ROWS], data.input))
    model.eval()
    rows = replace(data, train=data.val.take(np.arange(min(_ROWS, len(data.val)))))
    x, task = to_float(rows.train.x, data.input), TASKS[data.task]
    return float(task.loss(rows)(model(x), task.targets(rows, x)))
