"""The search of a run: trials in worker processes, each on record before it starts, and what came out of them."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bitq.config import ExperimentConfig, VariantConfig
from bitq.core import files
from bitq.core.errors import ConfigError, TrainingError
from bitq.core.processes import StoppedError
from bitq.data.dataset import Dataset
from bitq.experiment import build_model
from bitq.quant.policy import matrix_names
from bitq.search.config import Params, SearchConfig
from bitq.search.executors import executor
from bitq.search.knapsack import allocate
from bitq.search.outcome import Outcome, Trial
from bitq.search.study import SearchStudy, opened
from bitq.space import BITS, STRENGTH, WIDTHS, anchors, bits_of, expand, search_of, settings_of, variant_of
from bitq.track import search_figures
from bitq.track.progress import ProgressBars
from bitq.track.table import say
from bitq.track.tracker import Study
from bitq.track.trials import TrialRow, TrialTable, describe, print_front
from bitq.trial import (
    Costs,
    Repeat,
    Sensitivities,
    SensitivityJob,
    TrialJob,
    measure_sensitivities,
    network_of,
    predicted_bytes,
    run_trial,
    with_trial,
)

_PRELOAD = ("bitq.trial",)
_POINTS = 8  # of a training's curve, where it may be ended


@dataclass(frozen=True)
class Found:
    """What a search leaves.

    Attributes:
        config: the experiment with the variants to train with fresh seeds and to deliver.
        figures: files that belong to the study.
    """

    config: ExperimentConfig
    figures: list[Path]


def search(config: ExperimentConfig, data: Dataset, folder: Path, tracked: Study, overrides: list[str]) -> Found:
    """Run the trials that the study still lacks and return the experiment of what came out best.

    Args:
        config: with a search.
        data: of the experiment.
        folder: of this run, for the figures; the study itself lives in ``TRACK_FOLDER/sweeps``.
        tracked: where trials are logged.
        overrides: of the command line, kept so that every trial can be rebuilt.

    Returns:
        The variants float, int8 and ``best``, or the members of the front under ``search.objective=pareto``.

    Raises:
        TrainingError: no trial succeeded within the budget.
        ConfigError: the study was begun with other settings, or nothing in the space fits the budget.
    """
    config = _with_budget(config, data)
    chosen = search_of(config)
    matrices = matrix_names(build_model(config, data, 0))
    space = expand(config, matrices)
    home = Path(config.track.folder) / "sweeps" / f"{config.experiment}-{chosen.name}"
    limit, size = chosen.budget.parameter_bytes, predicted_bytes(config, data)
    with opened(
        home, chosen, space, settings_of(config), lambda params: limit is None or size(params) <= limit
    ) as study:
        before = study.outcomes()
        limits = ", ".join(f"{limit:,} {name}" for name, limit in chosen.budget.limits.items()) or "none"
        say(f"study {home}: {study.counted} of {chosen.n_trials} trials done, budget: {limits}.")
        first = anchors(config, space) if not before else {}
        if not before and study.exhausted:
            least = min(map(size, first.values()))
            raise ConfigError(
                f"search.budget.parameter_bytes: no network of the space takes at most {limit:,} bytes; "
                f"the smallest of the obvious ones takes {least:,}."
            )
        if not before and "bits" in chosen.space:
            first = _with_knapsack(config, data, home, first, matrices)
        study.prepare(first)
        _keep(config, home, before, overrides)  # a kill may have come between the study's record and the file
        try:
            _run_trials(config, data, home, study, tracked, overrides)
        finally:
            print_front([_row(o) for o in study.front()], _number(study.best()))
        best, front, within = study.best(), study.front(), study.feasible()
        drawn = _draw(folder / "figures", study, chosen, data.metric)
    if best is None:
        raise TrainingError(
            f"no trial of {home} succeeded within the budget; raise search.budget or search.n_trials."
        )
    say(f"best: trial {best.trial.number}, {describe(_row(best))}")
    picked = _picked(chosen, best, front, within)
    told = (f"{name} ({o.trial.anchor})" if o.trial.anchor else name for name, o in picked.items())
    say(f"training again with fresh seeds: {', '.join(told)}")
    variants = {name: variant_of(config, outcome.trial.params) for name, outcome in picked.items()}
    return Found(replace(config, variants=_beside(variants)), drawn)


def _run_trials(
    config: ExperimentConfig, data: Dataset, home: Path, study: SearchStudy, tracked: Study, overrides: list[str]
) -> None:
    chosen = search_of(config)
    jobs: list[TrialJob] = []
    rows: list[TrialRow] = []
    costs: dict[int, dict[str, float]] = {}
    predicted: dict[str, dict[str, float]] = {}  # of each network, shared by the trials that train it
    for outcome in study.outcomes():
        _costs(predicted, config, outcome.trial).update(outcome.costs)
    running = 0
    epochs = config.train.epochs
    points = max(1, epochs // _POINTS)

    def ask() -> Iterator[TrialJob]:
        nonlocal running
        while study.counted + running < chosen.n_trials and (trial := study.ask()) is not None:
            running += 1
            jobs.append(_trial_job(config, home, trial, predicted))
            rows.append(TrialRow(trial.number, _shown(trial.params)))
            yield jobs[-1]

    with TrialTable(chosen.n_trials, [_row(o) for o in study.outcomes()]) as table:

        def on_report(index: int, value: Costs | Repeat | tuple[int, dict[str, float]]) -> bool:
            job = jobs[index]
            match value:
                case Costs(values):
                    costs[index] = values
                    job.predicted.update(values)
                case Repeat(seed, validation):
                    job.known[seed] = validation  # a worker that takes over begins from here
                    files.write_json(_repeats(home, job.trial), job.known)
                case (epoch, log):
                    metric = log[f"val/{data.metric}"]
                    done = len(job.known) * epochs + epoch
                    table.update(rows[index], done, chosen.repeats * epochs, f"validation {100 * metric:.1f} %")
                    if epoch % points == 0 and epoch < epochs:
                        return study.report(job.trial, done // points, metric)
            return False

        for index, result, error in executor(chosen)(
            run_trial,
            data,
            ask(),
            workers=config.workers or os.cpu_count() or 1,
            on_report=on_report,
            preload=_PRELOAD,
        ):
            running -= 1
            trial = jobs[index].trial
            outcome = _outcome(trial, result, error, costs.get(index, {}))
            study.tell(outcome)
            row = _row(outcome)
            table.finish(row, _number(study.best()))
            _log(tracked, outcome)
            _keep(config, home, [outcome], overrides)


def _keep(config: ExperimentConfig, home: Path, outcomes: list[Outcome], overrides: list[str]) -> None:
    """Write what can be read of each trial, and how to rebuild it, into a file of its own where there is none yet."""
    for outcome in outcomes:
        path = home / "trials" / f"{outcome.trial.number}.json"
        if not path.is_file():
            value = outcome.value if math.isfinite(outcome.value) else None
            rebuild = _overrides(config, outcome.trial, overrides)
            files.write_json(path, {**asdict(outcome), "value": value, "overrides": rebuild})


def _outcome(trial: Trial, result: Any, error: Exception | None, costs: Mapping[str, float]) -> Outcome:
    match error:
        case None:
            return result
        case StoppedError():
            return Outcome(trial, "pruned", costs=costs)
        case TrainingError():
            return Outcome(trial, "failed", costs=costs, reason=str(error))
        case _:
            raise error


def _log(tracked: Study, outcome: Outcome) -> None:
    if outcome.state != "over":
        value = outcome.value if outcome.state == "complete" else None
        tracked.trial(outcome.trial.number, outcome.trial.params, value, outcome.state, outcome.costs)


def _with_budget(config: ExperimentConfig, data: Dataset) -> ExperimentConfig:
    """Set the default limit, half the bytes of all weights at 8 bits, where a search for the best has none."""
    chosen = search_of(config)
    if chosen.pareto or chosen.budget.limits:
        return config
    half = sum(p.numel() for p in build_model(config, data, 0).parameters() if p.dim() > 1) // 2
    return replace(config, search=replace(chosen, budget=replace(chosen.budget, parameter_bytes=half)))


def _with_knapsack(
    config: ExperimentConfig, data: Dataset, home: Path, first: dict[str, Params], matrices: list[str]
) -> dict[str, Params]:
    """Add what a table of sensitivities promises most of: within the budget, or at three sizes without one."""
    bits = tuple(search_of(config).space["bits"].choices)
    job = SensitivityJob(config, tuple(matrices), bits)
    with ProgressBars("sensitivity", jobs=1) as progress:

        def on_report(index: int, value: tuple[int, dict[str, float]]) -> None:
            progress.update("float network", value[0], config.train.epochs)

        run = executor(search_of(config))
        ((_, table, error),) = run(
            measure_sensitivities, data, [job], workers=1, on_report=on_report, preload=_PRELOAD
        )
        if error is not None:
            raise error
        progress.finish("float network")
    assert isinstance(table, Sensitivities)
    files.write_json(home / "sensitivities.json", asdict(table))
    most = sum(max(sizes.values()) for sizes in table.sizes.values())
    limit = search_of(config).budget.parameter_bytes
    budgets = [limit - table.least] if limit else [most * share // 4 for share in (1, 2, 3)]
    base = next(iter(first.values()))
    found = {f"knapsack {b + table.least:,} B": allocate(table.losses, table.sizes, b) for b in budgets}
    return {**first, **{n: {**base, **{f"{BITS}{m}": b for m, b in a.items()}} for n, a in found.items() if a}}


def _trial_job(
    config: ExperimentConfig, home: Path, trial: Trial, predicted: dict[str, dict[str, float]]
) -> TrialJob:
    """Return a job whose costs are one with those of all trials of the same network."""
    chosen = search_of(config)
    limits = chosen.budget.limits
    costs = tuple(dict.fromkeys([*(chosen.costs if chosen.pareto else ()), *limits]))
    one = with_trial(config, variant_of(config, trial.params))
    kept = _repeats(home, trial)
    known = {int(seed): value for seed, value in json.loads(kept.read_text()).items()} if kept.is_file() else {}
    same = _costs(predicted, config, trial)
    return TrialJob(trial, one, chosen.repeats, chosen.spread, costs, limits, known, same)


def _costs(predicted: dict[str, dict[str, float]], config: ExperimentConfig, trial: Trial) -> dict[str, float]:
    """Return what the network of a trial is known to cost, one with that of all trials that train it."""
    return predicted.setdefault(network_of(with_trial(config, variant_of(config, trial.params))), {})


def _repeats(home: Path, trial: Trial) -> Path:
    """Return where the finished repeats of a trial are kept; by its parameters, so that a kill costs none of them."""
    return home / "repeats" / f"{trial.key}.json"


def _beside(picked: Mapping[str, VariantConfig]) -> dict[str, VariantConfig]:
    return {"float": VariantConfig(training="float"), "int8": VariantConfig({"*": "int8"}, "ptq"), **picked}


def _overrides(config: ExperimentConfig, trial: Trial, given: list[str]) -> list[str]:
    """Return what the command line would be for an experiment of one trial beside float and int8."""
    variant = variant_of(config, trial.params)
    policy = ", ".join(f"{matrix}: {book}" for matrix, book in variant.policy.items())
    settings = ", ".join(f"{key}: {json.dumps(value)}" for key, value in variant.settings.items())
    others = [f"~variants.{name}" for name in config.variants if name not in ("float", "int8")]
    return [
        *(o for o in given if not o.lstrip("+").startswith("search")),
        *others,
        f"+variants.trial_{trial.number}={{policy: {{{policy}}}, settings: {{{settings}}}}}",
    ]


def _picked(chosen: SearchConfig, best: Outcome, front: list[Outcome], within: list[Outcome]) -> dict[str, Outcome]:
    """Return what is trained again, by the names of the variants; each trial once."""
    won = {f"trial_{o.trial.number}": o for o in _spread(front, chosen.front)} if chosen.pareto else {"best": best}
    taken = {o.trial.number for o in won.values()}
    others = [o for o in within if chosen.obvious and o.trial.anchor and o.trial.number not in taken]
    return won | {f"trial_{o.trial.number}": o for o in others}


def _spread(front: list[Outcome], count: int) -> list[Outcome]:
    """Return at most ``count`` members of a front, both ends and evenly between."""
    if len(front) <= count:
        return front
    return [front[round(i * (len(front) - 1) / max(1, count - 1))] for i in range(count)]


def _draw(place: Path, study: SearchStudy, chosen: SearchConfig, metric: str) -> list[Path]:
    complete = [o for o in study.outcomes() if o.state == "complete"]
    front = {o.trial.number for o in study.front()}
    made: list[Path] = []
    cost = chosen.costs[0]
    if complete and all(cost in o.costs for o in complete):
        points = [
            search_figures.Point(o.costs[cost], o.value, o.trial.anchor, o.trial.number in front) for o in complete
        ]
        made.append(search_figures.pareto(place / "pareto.png", points, cost, metric, chosen.budget.limits.get(cost)))
    importances = {_short(name): share for name, share in study.importances().items()}
    if importances:
        made.append(search_figures.importances(place / "importances.png", importances))
    shown = study.front() if chosen.pareto else sorted(study.feasible(), key=lambda o: o.value)[-20:]
    bits = {f"trial {o.trial.number} · {100 * o.value:.2f} %": bits_of(o.trial.params) for o in shown}
    if bits and all(bits.values()):
        made.append(search_figures.bits(place / "bits.png", bits))
    return made


def _row(outcome: Outcome) -> TrialRow:
    shown = " ".join([_shown(outcome.trial.params), *([f"({outcome.trial.anchor})"] if outcome.trial.anchor else [])])
    return TrialRow(outcome.trial.number, shown, outcome.state, outcome.value, outcome.costs, outcome.reason)


def _shown(params: Params) -> str:
    """Return parameters in a few words, bits and widths in the network's order."""
    parts: list[str] = []
    bits = bits_of(params)
    if bits:
        parts.append("bits " + "-".join(map(str, bits.values())))
    widths = [f"{value:g}" for key, value in params.items() if key.startswith(WIDTHS)]
    if widths:
        parts.append("widths " + "-".join(widths))
    for key, value in params.items():
        if not key.startswith((BITS, WIDTHS)):
            parts.append(f"{_short(key)} {value:.3g}" if isinstance(value, float) else f"{_short(key)} {value}")
    return ", ".join(parts)


def _short(key: str) -> str:
    return "strength" if key == STRENGTH else re.sub(r"^bits/|\.weight$", "", key)


def _number(outcome: Outcome | None) -> int | None:
    return None if outcome is None else outcome.trial.number
