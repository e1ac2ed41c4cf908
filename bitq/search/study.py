"""An Optuna study that survives anything: asked and told by one process, every proposal on record before it starts.

Knows parameters, values and costs; what a trial does is the caller's. Kept in one append-only journal, or in a
database that several hosts share (`bitq.search.storage`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import random
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bitq.core.errors import ConfigError
from bitq.search.config import Params, Range, SearchConfig
from bitq.search.outcome import Outcome, Trial, front_of, key_of
from bitq.search.sampling import distribution, draw, points, sampler
from bitq.search.storage import Lease, leased

_ENDS = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "over": TrialState.PRUNED,
}
_OUTCOME, _OWNER, _ANCHOR, _SETTINGS, _DROPPED = "outcome", "owner", "anchor", "settings", "dropped"
_TRIES = 20  # of the sampler, for parameters that are new and fit
_BEGINNING = dt.timedelta(minutes=1)  # in which a trial on another host gets its owner's name


class SearchStudy:
    """A study with a fixed space; made by `opened`."""

    def __init__(
        self,
        study: optuna.Study,
        config: SearchConfig,
        space: Mapping[str, Range],
        lease: Lease,
        fits: Callable[[Params], bool],
        seed: int,
    ) -> None:
        self._study = study
        self._config = config
        self._space = dict(space)
        self._lease = lease
        self._fits = fits
        self._open: dict[int, optuna.Trial] = {}
        self._random = random.Random(seed)  # of proposals where the sampler has none that is new and fits

    @property
    def counted(self) -> int:
        """Trials that were trained to an end, whatever it was."""
        return sum(outcome.state != "over" for outcome in self.outcomes())

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left in the space that is new and fits."""
        return not self._trials(TrialState.WAITING) and self._propose() is None

    def ask(self) -> Trial | None:
        """Return the next trial, on record as running before this returns; None if everything has been tried.

        No two trials of a study have the same parameters, and none that is proposed is known to exceed the budget.
        """
        self._requeue()
        while True:
            if not self._trials(TrialState.WAITING):
                proposed = self._propose()
                if proposed is None:
                    return None
                self._study.enqueue_trial(proposed)
            trial = self._study.ask(self._distributions())
            # Another host may have taken what was queued; the sampler has then been asked for anything.
            if key_of(trial.params) in self._known(but=trial.number) or not self._fits(trial.params):
                self._drop(trial.number, trial._trial_id)  # pyright: ignore[reportPrivateUsage]
                continue
            trial.set_user_attr(_OWNER, self._lease.owner)
            self._open[trial.number] = trial
            return Trial(trial.number, trial.params, trial.user_attrs.get(_ANCHOR, ""))

    def report(self, trial: Trial, step: int, value: float) -> bool:
        """Note a value of a trial's curve and return whether to end it; the same step may come again."""
        if self._config.pareto or not self._config.prune or trial.anchor:
            return False
        asked = self._open[trial.number]
        if step not in self._study._storage.get_trial(asked._trial_id).intermediate_values:  # pyright: ignore[reportPrivateUsage]
            asked.report(value, step)
        return asked.should_prune()

    def tell(self, outcome: Outcome) -> None:
        """Record how a trial ended; one whose value is no number has failed."""
        if outcome.state == "complete" and not math.isfinite(outcome.value):
            outcome = replace(outcome, state="failed", reason=f"the objective is {outcome.value}")
        trial = self._open.pop(outcome.trial.number)
        told = {
            "state": outcome.state,
            "per_seed": outcome.per_seed,
            "costs": dict(outcome.costs),
            "reason": outcome.reason,
        }
        trial.set_user_attr(_OUTCOME, told)
        for name, limit in self._config.budget.limits.items():
            if name in outcome.costs:
                trial.set_constraint(name, outcome.costs[name] / limit - 1)
        values = None
        if outcome.state == "complete":
            values = [outcome.value, *(outcome.costs[name] for name in self._config.costs)]
            values = values if self._config.pareto else values[:1]
        self._study.tell(trial, values, _ENDS[outcome.state])

    def outcomes(self) -> list[Outcome]:
        """Return how every ended trial ended, in the order of their numbers; what a kill cut short is not there."""
        found: list[Outcome] = []
        for t in self._trials(*set(_ENDS.values())):
            told = t.user_attrs.get(_OUTCOME)
            if told is not None and _DROPPED not in t.user_attrs:
                value = t.values[0] if t.values else float("nan")
                trial = Trial(t.number, t.params, t.user_attrs.get(_ANCHOR, ""))
                found.append(
                    Outcome(trial, told["state"], tuple(told["per_seed"]), value, told["costs"], told["reason"])
                )
        return found

    def feasible(self) -> list[Outcome]:
        """Return the completed trials within the budget."""
        limits = self._config.budget.limits
        return [
            o
            for o in self.outcomes()
            if o.state == "complete" and all(o.costs.get(name, 0) <= limit for name, limit in limits.items())
        ]

    def best(self) -> Outcome | None:
        """Return the best trial within the budget; the cheaper and then the earlier one on ties."""
        cost = self._config.costs[0]
        return max(self.feasible(), key=lambda o: (o.value, -o.costs.get(cost, 0), -o.trial.number), default=None)

    def front(self) -> list[Outcome]:
        """Return the trials within the budget that no other one beats in value and costs, the cheapest first."""
        return front_of(self.feasible(), self._config.costs)

    def importances(self) -> dict[str, float]:
        """Return how much each parameter decides the value (PED-ANOVA), adding up to 1; empty for too few trials."""
        if len(self.feasible()) < 4:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(ValueError, RuntimeError):
                # The evaluator takes low values for good ones.
                return optuna.importance.get_param_importances(self._study, target=lambda t: -t.values[0])
        return {}

    def prepare(self, anchors: Mapping[str, Params]) -> None:
        """Queue what a new study begins with, and what a killed process left unfinished.

        Args:
            anchors: the obvious, by name; those that fit are tried first and never pruned. A study that has begun
                ignores them.
        """
        self._requeue()
        if self._study.get_trials(deepcopy=False):
            return
        for name, params in anchors.items():
            if self._fits(params):
                self._study.enqueue_trial(params, user_attrs={_ANCHOR: name}, skip_if_exists=True)

    def _requeue(self) -> None:
        """Queue the running trials again whose process is gone."""
        for lost in self._trials(TrialState.RUNNING):
            if lost.number in self._open or self._lives(lost) or not self._drop(lost.number, lost._trial_id):  # pyright: ignore[reportPrivateUsage]
                continue
            attrs = {_ANCHOR: lost.user_attrs[_ANCHOR]} if _ANCHOR in lost.user_attrs else None
            if set(lost.params) == set(self._space):
                self._study.enqueue_trial(lost.params, user_attrs=attrs)

    def _lives(self, trial: FrozenTrial) -> bool:
        if _OWNER in trial.user_attrs:
            return self._lease.alive(trial.user_attrs[_OWNER])
        begun = trial.datetime_start or dt.datetime.now()
        return self._lease.shared and dt.datetime.now() - begun < _BEGINNING

    def _drop(self, number: int, trial_id: int) -> bool:
        """End a trial that shall not count; False where another host was faster."""
        try:
            self._study._storage.set_trial_user_attr(trial_id, _DROPPED, value=True)  # pyright: ignore[reportPrivateUsage]
            self._study.tell(number, state=TrialState.FAIL)
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
            return False
        return True

    def _propose(self) -> Params | None:
        """Return parameters that are new and fit, the sampler's if it has any; None if there are none left."""
        known = self._known()
        blank = optuna.trial.create_trial(state=TrialState.RUNNING)
        allowed = self._distributions()
        for _ in range(_TRIES):
            params: Params = {
                name: draw(self._random, self._space[name])
                if values.single()
                else self._study.sampler.sample_independent(self._study, blank, name, values)
                for name, values in allowed.items()
            }
            if key_of(params) not in known and self._fits(params):
                return params
        left = points(self._random, self._space)
        return next((params for params in left if key_of(params) not in known and self._fits(params)), None)

    def _known(self, but: int | None = None) -> set[str]:
        """Return the keys of all trials that count, ``but`` one."""
        trials = self._trials()
        return {key_of(t.params) for t in trials if t.number != but and _DROPPED not in t.user_attrs}

    def _distributions(self) -> dict[str, BaseDistribution]:
        return {name: distribution(allowed) for name, allowed in self._space.items()}

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)


@contextlib.contextmanager
def opened(
    folder: Path,
    config: SearchConfig,
    space: Mapping[str, Range],
    settings: Mapping[str, Any],
    fits: Callable[[Params], bool] = lambda params: True,
) -> Generator[SearchStudy]:
    """Open a study, new or begun by an earlier command.

    Args:
        folder: of the journal and its lock; its name is the study's.
        config: objective, sampler, storage.
        space: the range of every single parameter.
        settings: everything that must be the same when a study goes on; plain values.
        fits: whether parameters may be tried; others are never proposed.

    Raises:
        ConfigError: the study was begun with other settings; names what differs.
        BitqError: another process holds the journal.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    costs = len(config.costs) if config.pareto else 0
    directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * costs]
    with leased(folder, config.storage) as lease:
        study = optuna.create_study(
            study_name=folder.name, storage=lease.storage, directions=directions, load_if_exists=True
        )
        told = json.loads(json.dumps({**settings, "space": {name: vars(r) for name, r in space.items()}}))
        _compare(folder, cast("dict[str, Any] | None", study.user_attrs.get(_SETTINGS)), told)
        if _SETTINGS not in study.user_attrs:
            study.set_user_attr(_SETTINGS, told)
        # A resumed sampler with its first seed would suggest its first points again.
        begun = len(study.get_trials(deepcopy=False))
        seed = (config.seed + 7919 * begun + lease.place) % 2**32
        study.sampler = sampler(config, seed)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
        yield SearchStudy(study, config, space, lease, fits, seed)


def _compare(folder: Path, before: dict[str, Any] | None, now: dict[str, Any]) -> None:
    if before is None:
        return
    old, new = _flat(before), _flat(now)
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if changed:
        shown = "; ".join(f"{key}: {old.get(key)} → {new.get(key)}" for key in changed[:5])
        raise ConfigError(
            f"the study in {folder} was begun with other settings ({shown}). Use the old ones to go on, or give "
            f"search.name another value, or remove that folder to begin anew."
        )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for key, value in values.items() for k, v in _flat(value, f"{prefix}.{key}".strip(".")).items()}
