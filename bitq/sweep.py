"""The search of a run: trials in worker processes, each on record before it starts, and the best one's config."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from bitq.codegen.emit import parameter_bytes
from bitq.config import ExperimentConfig, VariantConfig
from bitq.core.errors import TrainingError
from bitq.core.processes import run_jobs
from bitq.data.dataset import Dataset
from bitq.experiment import Job, build_model, run_job
from bitq.quant.codebook import FOR_BITS
from bitq.quant.policy import matrix_names
from bitq.search.config import SearchConfig
from bitq.search.study import Choice, Outcome, SearchStudy, opened
from bitq.track.progress import ProgressBars
from bitq.track.table import say
from bitq.track.tracker import Study

_TRIAL = "trial"
_FRESH = 1000  # trials train with seeds from here on, so that the final repeats are fresh


@dataclass(frozen=True)
class TrialJob:
    """One trial: its choice, and one training per repeat."""

    choice: Choice
    jobs: tuple[Job, ...]


def run_trial(data: Dataset, trial: TrialJob) -> Outcome:
    """Train one trial's repeats and return its mean validation metric and its bytes; test stays unread."""
    trained = [run_job(data, job) for job in trial.jobs]
    sizes = [parameter_bytes(t.graph) for t in trained if t.graph is not None]
    return Outcome(trial.choice, fmean(t.validation for t in trained), max(sizes))


def search(config: ExperimentConfig, data: Dataset, folder: Path, tracked: Study) -> ExperimentConfig:
    """Run the trials that the study still lacks and return the experiment of its best trial.

    Args:
        config: with a search.
        data: of the experiment.
        folder: of this run; the study itself lives in ``TRACK_FOLDER/sweeps``.
        tracked: where trials are logged.

    Returns:
        The config with the variants float, int8 and ``best``, to train with fresh seeds and to deliver.

    Raises:
        TrainingError: no trial succeeded within the budget.
        ConfigError: the study was begun with other settings.
    """
    space = _space(config)
    matrices = matrix_names(build_model(config, data, 0))
    budget = space.budget_bytes or _half_of_int8(config, data)
    home = Path(config.track.folder) / "sweeps" / f"{config.experiment}-{space.name}"
    with opened(home, space, matrices, budget, _settings(config, budget)) as study:
        before = study.finished
        study.prepare(config.quant.strength)
        say(f"study {home}: {before} of {space.n_trials} trials done, budget {budget:,} bytes of constants.")
        _run_trials(config, data, folder, study, tracked)
        best = study.best()
        if best is None:
            raise TrainingError(
                f"no trial of {home} succeeded within {budget} bytes; raise search.budget_bytes or search.n_trials."
            )
    say(f"best: {_describe(best)}")
    policy = {matrix: FOR_BITS[bits] for matrix, bits in best.choice.bits.items()}
    variants = {
        "float": VariantConfig(training="float"),
        "int8": VariantConfig({"*": "int8"}, "ptq"),
        "best": VariantConfig(policy),
    }
    return replace(config, variants=variants, quant=replace(config.quant, strength=best.choice.strength))


def _run_trials(config: ExperimentConfig, data: Dataset, folder: Path, study: SearchStudy, tracked: Study) -> None:
    space = _space(config)
    asked: list[Choice] = []
    missing = space.n_trials - study.finished

    def ask() -> Iterator[TrialJob]:
        while len(asked) < missing:
            asked.append(study.ask())
            yield _trial_job(config, folder, asked[-1])

    workers = config.workers or os.cpu_count() or 1
    with ProgressBars("search", jobs=max(0, missing), unit="epochs") as progress:
        names: dict[int, str] = {}

        def on_report(index: int, value: tuple[int, dict[str, float]]) -> None:
            names[index] = f"trial {asked[index].number}"
            progress.update(names[index], value[0], config.train.epochs)

        for index, outcome, error in run_jobs(
            run_trial, data, ask(), workers=workers, on_report=on_report, preload=("bitq.sweep",)
        ):
            choice = asked[index]
            if error is not None and not isinstance(error, TrainingError):
                raise error
            params = {"strength": choice.strength, **{f"bits/{m}": b for m, b in choice.bits.items()}}
            if error is not None:
                study.tell_failed(choice, str(error))
                tracked.trial(choice.number, params, None, "failed")
                progress.finish(f"trial {choice.number}", f"failed: {error}")
                continue
            study.tell(outcome)
            metrics = {"parameter_bytes": float(outcome.parameter_bytes)}
            tracked.trial(choice.number, params, outcome.value, "complete", metrics)
            best = study.best()
            lead = " (best so far)" if best and best.choice.number == choice.number else ""
            progress.finish(f"trial {choice.number}", f"{_describe(outcome)}{lead}")


def _space(config: ExperimentConfig) -> SearchConfig:
    assert isinstance(config.search, SearchConfig)
    return config.search


def _trial_job(config: ExperimentConfig, folder: Path, choice: Choice) -> TrialJob:
    policy = {matrix: FOR_BITS[bits] for matrix, bits in choice.bits.items()}
    trial = replace(
        config,
        variants={_TRIAL: VariantConfig(policy)},
        quant=replace(config.quant, strength=choice.strength),
    )
    seeds = range(config.seed + _FRESH, config.seed + _FRESH + _space(config).repeats)
    place = folder / "trials" / str(choice.number)
    return TrialJob(choice, tuple(Job(trial, _TRIAL, seed, place, on_test=False) for seed in seeds))


def _half_of_int8(config: ExperimentConfig, data: Dataset) -> int:
    """Return half the bytes of all weights at 8 bits."""
    return sum(p.numel() for p in build_model(config, data, 0).parameters() if p.dim() > 1) // 2


def _settings(config: ExperimentConfig, budget: int) -> dict[str, object]:
    """Return what must stay the same when a study goes on; the number of trials may grow."""
    keys = ("data", "model", "quant", "train", "seed")
    space = {key: value for key, value in asdict(_space(config)).items() if key != "n_trials"}
    return {**{key: asdict(config)[key] for key in keys}, "search": space, "budget_bytes": budget}


def _describe(outcome: Outcome) -> str:
    bits = "-".join(str(b) for b in outcome.choice.bits.values())
    return (
        f"{100 * outcome.value:.2f} % on validation, {outcome.parameter_bytes:,} B, bits {bits}, "
        f"strength {outcome.choice.strength:.3g}"
    )
