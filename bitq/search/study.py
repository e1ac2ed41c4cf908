"""An Optuna study that survives anything: asked and told by one process, kept in one append-only journal.

Knows parameters, values and constraints; what a trial does is the caller's.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from bitq.core import files
from bitq.core.errors import BitqError, ConfigError
from bitq.search.config import SearchConfig

STRENGTH = "strength"
_OVER_BUDGET = "bytes_over_budget"
_LOST = "lost"


@dataclass(frozen=True)
class Choice:
    """What one trial tries.

    Attributes:
        number: of the trial in the study.
        strength: regularization strength λ.
        bits: per weight matrix.
    """

    number: int
    strength: float
    bits: dict[str, int]


@dataclass(frozen=True)
class Outcome:
    """What a finished trial gave: its choice, the mean validation metric, and the bytes of all constants."""

    choice: Choice
    value: float
    parameter_bytes: int


class SearchStudy:
    """A study with a fixed space.

    Attributes:
        budget_bytes: bound on the bytes of a feasible trial.
    """

    def __init__(self, study: optuna.Study, config: SearchConfig, matrices: list[str], budget_bytes: int) -> None:
        self._study = study
        self._config = config
        self._matrices = matrices
        self._open: dict[int, optuna.Trial] = {}
        self.budget_bytes = budget_bytes

    @property
    def finished(self) -> int:
        """Trials that ended by themselves, completed or failed; those lost in a kill do not count."""
        return len([t for t in self._trials(TrialState.COMPLETE, TrialState.FAIL) if _LOST not in t.user_attrs])

    def ask(self) -> Choice:
        """Return the next trial's choice; it is on record as running before this returns."""
        trial = self._study.ask(self._space())
        self._open[trial.number] = trial
        return self._choice(trial.number, trial.params)

    def tell(self, outcome: Outcome) -> None:
        """Record a completed trial."""
        trial = self._open.pop(outcome.choice.number)
        trial.set_user_attr("parameter_bytes", outcome.parameter_bytes)
        trial.set_constraint(_OVER_BUDGET, float(outcome.parameter_bytes - self.budget_bytes))
        self._study.tell(trial, outcome.value)

    def tell_failed(self, choice: Choice, reason: str) -> None:
        """Record a trial whose training failed; it counts and is not repeated."""
        trial = self._open.pop(choice.number)
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def outcomes(self) -> list[Outcome]:
        """Return all completed trials, in the order of their numbers."""
        return [
            Outcome(self._choice(t.number, t.params), float(t.value), int(t.user_attrs["parameter_bytes"]))
            for t in self._trials(TrialState.COMPLETE)
            if t.value is not None
        ]

    def best(self) -> Outcome | None:
        """Return the best completed trial within the budget, the smaller and then the earlier on ties."""
        feasible = [o for o in self.outcomes() if o.parameter_bytes <= self.budget_bytes]
        return max(feasible, key=lambda o: (o.value, -o.parameter_bytes, -o.choice.number), default=None)

    def prepare(self, strength: float) -> None:
        """Queue what a new study begins with, or what a killed one left unfinished.

        A new study first tries the obvious: all matrices at the fewest bits, all at the most, and the most for the
        first, the last, and both. A resumed one repeats the trials that were running.

        Args:
            strength: λ of the first trials.
        """
        for lost in self._trials(TrialState.RUNNING):
            self._study._storage.set_trial_user_attr(lost._trial_id, _LOST, value=True)  # pyright: ignore[reportPrivateUsage]
            self._study.tell(lost.number, state=TrialState.FAIL)
            self._study.enqueue_trial(lost.params)
        if self._study.trials:
            return
        low, high = min(self._config.bits), max(self._config.bits)
        ends = [{self._matrices[0]}, {self._matrices[-1]}, {self._matrices[0], self._matrices[-1]}]
        for generous in [set[str](), set(self._matrices), *ends]:
            bits = {f"bits/{m}": high if m in generous else low for m in self._matrices}
            within = min(max(strength, self._config.strength.low), self._config.strength.high)
            self._study.enqueue_trial({STRENGTH: within, **bits}, skip_if_exists=True)

    def _space(self) -> dict[str, BaseDistribution]:
        space = self._config.strength
        strength = FloatDistribution(space.low, space.high, log=space.low < space.high)
        bits = CategoricalDistribution(list(self._config.bits))
        return {STRENGTH: strength, **{f"bits/{matrix}": bits for matrix in self._matrices}}

    def _choice(self, number: int, params: Mapping[str, Any]) -> Choice:
        return Choice(number, float(params[STRENGTH]), {m: int(params[f"bits/{m}"]) for m in self._matrices})

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)


@contextlib.contextmanager
def opened(
    folder: Path, config: SearchConfig, matrices: list[str], budget_bytes: int, settings: Mapping[str, Any]
) -> Generator[SearchStudy]:
    """Open the study of a folder, new or begun by an earlier command, for this process alone.

    Args:
        folder: holds the journal, the settings and the lock.
        config: space and sampler.
        matrices: the weight matrices, in the model's order.
        budget_bytes: bound on a feasible trial.
        settings: everything that must be the same when a study goes on; plain values.

    Raises:
        ConfigError: the study was begun with other settings; names what differs.
        BitqError: another process holds it.
    """
    with files.locked(folder / "study.lock") as mine:
        if not mine:
            raise BitqError(f"the study in {folder} is in use by another process; wait for it or stop it.")
        _compare(folder / "settings.json", settings)
        journal = folder / "optuna.journal"
        _mend(journal)
        # The study's own lock proves that nobody writes; a kill in the middle of a write leaves Optuna's behind.
        Path(f"{journal}.lock").unlink(missing_ok=True)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        backend = JournalFileBackend(str(journal))
        storage = optuna.storages.JournalStorage(backend)
        study = optuna.create_study(
            study_name=folder.name, storage=storage, direction="maximize", load_if_exists=True
        )
        # A resumed sampler with its first seed would suggest its first points again.
        study.sampler = _sampler(config, config.seed + 7919 * len(study.get_trials(deepcopy=False)))
        yield SearchStudy(study, config, matrices, budget_bytes)


def _sampler(config: SearchConfig, seed: int) -> optuna.samplers.BaseSampler:
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)


def _compare(path: Path, settings: Mapping[str, Any]) -> None:
    if not path.is_file():
        files.write_json(path, settings)
        return
    old, new = _flat(json.loads(path.read_text())), _flat(json.loads(json.dumps(settings)))
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if changed:
        shown = "; ".join(f"{key}: {old.get(key)} → {new.get(key)}" for key in changed[:5])
        raise ConfigError(
            f"the study in {path.parent} was begun with other settings ({shown}). Use the old ones to go on, or "
            f"remove that folder to begin anew."
        )


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {k: v for key, value in values.items() for k, v in _flat(value, f"{prefix}.{key}".strip(".")).items()}


def _mend(journal: Path) -> None:
    """Drop a last line that a kill cut short; Optuna could not read the journal any more."""
    if journal.is_file() and (content := journal.read_bytes()) and not content.endswith(b"\n"):
        files.write_bytes(journal, content[: content.rfind(b"\n") + 1])
