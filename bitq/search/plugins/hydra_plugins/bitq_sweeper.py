"""A Hydra sweeper on the studies of `bitq.search`: ``-m hydra/sweeper=bitq`` with intervals and choices in overrides.

Hydra finds sweepers in the package ``hydra_plugins`` only; `bitq.cli` puts this folder on the path. Loaded at every
start, so nothing heavy is imported before a sweep begins; without entry in `sys.modules`, so annotations are real.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from bitq.core import files
from bitq.core.errors import ConfigError, TrainingError, nearest
from bitq.core.fields import validate
from bitq.search.config import Range, SearchConfig


@dataclass
class BitqSweeperConfig:
    """``hydra.sweeper`` under ``hydra/sweeper=bitq``; fields as in `SearchConfig`.

    Attributes:
        variant: whose validation metric is to be high; the last one where it is empty.
    """

    _target_: str = "hydra_plugins.bitq_sweeper.BitqSweeper"
    name: str = "sweep"
    n_trials: int = 20
    sampler: str = "tpe"
    seed: int = 0
    variant: str = ""


class BitqSweeper(Sweeper):
    """Chooses the jobs of a multirun one after the other, each by the results so far."""

    def __init__(self, name: str, n_trials: int, sampler: str, seed: int, variant: str) -> None:
        self.search = SearchConfig(name, n_trials=n_trials, sampler=sampler, seed=seed, variant=variant, prune=False)
        self.config: DictConfig | None = None
        self.launcher: Any = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that the study still lacks.

        Args:
            arguments: overrides; those with ``interval(a, b)`` (``tag(log, …)``, ``tag(int, …)``), ``choice(…)``,
                ``range(…)`` or commas vary.

        Raises:
            ConfigError: nothing varies, or the study was begun with other overrides.
            TrainingError: every trial failed.
        """
        from bitq.search.outcome import Outcome
        from bitq.search.study import opened

        assert self.config is not None
        assert self.hydra_context is not None
        validate(self.search, "hydra.sweeper")
        parsed = OverridesParser.create(self.hydra_context.config_loader).parse_overrides(arguments)
        space = {o.get_key_element(): _range(o) for o in parsed if o.is_sweep_override()}
        fixed = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
        if not space:
            raise ConfigError(
                "hydra/sweeper=bitq: nothing varies; write for example 'train.lr=interval(0.001,0.01)'."
            )
        home = Path(self.config.track.get("folder", "mlruns")) / "sweeps"
        home /= f"{self.config.experiment}-{self.search.name}"
        with opened(home, self.search, space, {"overrides": fixed, "variant": self.search.variant}) as study:
            study.prepare({})
            while study.counted < self.search.n_trials and (trial := study.ask()) is not None:
                chosen = [f"{key}={value}" for key, value in trial.params.items()]
                _say(f"trial {trial.number} of study {home}: {' '.join(chosen)}")
                (job,) = self.launcher.launch([[*fixed, *chosen]], initial_job_idx=trial.number)
                value = self._value(job.return_value)
                record = {"value": value, "overrides": [o for o in [*fixed, *chosen] if not o.startswith("hydra")]}
                files.write_json(home / "trials" / f"{trial.number}.json", record)
                if value is None:
                    study.tell(Outcome(trial, "failed", reason="see the messages of its job"))
                else:
                    study.tell(Outcome(trial, "complete", (value,), value, {"parameter_bytes": 0.0}))
            best = study.best()
        if best is None:
            raise TrainingError(f"every trial of {home} failed.")
        shown = " ".join(f"{key}={value}" for key, value in best.trial.params.items())
        _say(f"best: trial {best.trial.number}, {100 * best.value:.2f} % on validation: {shown}")

    def _value(self, returned: dict[str, float] | None) -> float | None:
        if not returned:
            return None
        variant = self.search.variant or list(returned)[-1]
        if variant not in returned:
            raise ConfigError(f"hydra.sweeper.variant: unknown variant '{variant}'.{nearest(variant, returned)}")
        return returned[variant]


def _range(override: Override) -> Range:
    value: Any = override.value()
    if not isinstance(value, IntervalSweep):
        return Range(choices=list(_texts(override)))
    found = Range(low=value.start, high=value.end, log="log" in value.tags, integer="int" in value.tags)
    found.check(override.get_key_element())
    return found


def _texts(override: Override) -> Sequence[str]:
    return [str(text) for text in override.sweep_string_iterator()]


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  on the screen, between the tables of the jobs


ConfigStore.instance().store(group="hydra/sweeper", name="bitq", node=BitqSweeperConfig, provider="bitq")
