"""The config of a search: what may vary, what is wanted, what it may cost, and how many trials.

Knows names and ranges; which keys an experiment has, and which matrices a network, is found in `bitq.space`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bitq.core.errors import ConfigError
from bitq.core.fields import choice, number
from bitq.core.registry import Registry

BITS = (1, 2, 3, 4, 8)
COSTS = ("parameter_bytes", "flash_bytes", "ram_bytes", "instructions")
"""What a network costs; the first is counted in the generated C, the others on the linked and executed firmware."""

Value = bool | int | float | str
Params = dict[str, Value]


@dataclass
class Range:
    """What one parameter may be: one of several choices, or a number from low to high.

    Attributes:
        choices: the values; excludes the other fields.
        low, high: both ends, included; equal ones fix the parameter.
        log: sample on a logarithmic scale.
        step: distance between neighbouring values, counted from ``low``.
        integer: whole numbers only.
    """

    choices: list[Any] = field(default_factory=list[Any])
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = number(None, 1e-12, 1e12)
    integer: bool = False

    def check(self, path: str) -> None:
        """Refuse a range that holds nothing or says two things at once."""
        if self.choices:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ConfigError(f"{path}: give choices or low and high, not both.")
            odd = [c for c in self.choices if not isinstance(c, bool | int | float | str)]
            if odd or len(set(map(repr, self.choices))) != len(self.choices):
                raise ConfigError(f"{path}.choices: plain values, each once; got {list(self.choices)}.")
            return
        if self.low is None or self.high is None or self.low > self.high:
            raise ConfigError(f"{path}: low ≤ high must hold, got low={self.low}, high={self.high}.")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ConfigError(f"{path}: a logarithmic range needs low > 0 and no step, got low={self.low:g}.")
        if self.integer and not (
            self.low.is_integer() and self.high.is_integer() and float(self.step or 1).is_integer()
        ):
            raise ConfigError(f"{path}: integer needs whole low, high and step, got {self.low:g} and {self.high:g}.")

    def nearest(self, value: Value) -> Value:
        """Return the allowed value closest to a given one; the first choice where nothing is close."""
        if self.choices:
            numbers = not isinstance(value, str) and not any(isinstance(c, str) for c in self.choices)
            if value in self.choices or not numbers:
                return value if value in self.choices else self.choices[0]
            return min(self.choices, key=lambda c: abs(c - value))  # pyright: ignore[reportOperatorIssue]
        assert self.low is not None
        assert self.high is not None
        assert not isinstance(value, str)
        within = min(max(float(value), self.low), self.high)
        step = self.step or (1.0 if self.integer else None)
        if step is not None:
            most = int((self.high - self.low) / step + 1e-9)
            within = self.low + step * min(most, round((within - self.low) / step))
        return int(within) if self.integer else within


@dataclass
class BudgetConfig:
    """What a trial may cost; None is no limit.

    Attributes:
        parameter_bytes: every constant of the generated C, as `bitq.codegen.emit.parameter_bytes` counts them.
        flash_bytes, ram_bytes, instructions: of the firmware, as `bitq.device.verify.Measurement` counts them.
    """

    parameter_bytes: int | None = number(None, 1, 2**31, "bytes")
    flash_bytes: int | None = number(None, 1, 2**31, "bytes")
    ram_bytes: int | None = number(None, 1, 2**31, "bytes")
    instructions: int | None = number(None, 1, 10**12, "instructions")

    @property
    def limits(self) -> dict[str, int]:
        """The limits that there are, by name."""
        return {name: limit for name in COSTS if (limit := getattr(self, name)) is not None}


@dataclass
class SearchConfig:
    """A study: a space, what is wanted of a trial, and how many there are.

    Attributes:
        name: what reports and the study's folder call it.
        n_trials: trained trials of the study in all, those of earlier runs included.
        space: range of each parameter. ``strength`` stands for ``quant.strength``, ``bits`` for one choice per weight
            matrix, ``widths`` for one factor per width of the model; other keys are keys of the experiment.
        variant: where bits do not vary, the variant whose policy every trial has.
        objective: ``accuracy`` looks for the best metric within the budget, ``pareto`` for all trials that no other
            one beats in metric and costs.
        costs: what ``pareto`` weighs against the metric.
        spread: k in ``mean − k · std`` of the validation metric over the repeats.
        budget: what a trial may cost; one that would cost more is not trained and does not count. Under
            ``accuracy``, no limit at all means half the bytes of 8 bits everywhere.
        repeats: trainings per trial, each with its own seed.
        prune: end a trial whose curve is below the median of the others at the same place (``accuracy`` only; never
            one of the obvious first trials).
        sampler: Optuna's TPE or plain random.
        seed: of the sampler.
        front: at most so many members of the front are trained again with fresh seeds and delivered.
        obvious: train the obvious first trials again with fresh seeds, too, so that test figures tell what the search
            has won over them.
        storage: ``journal`` keeps the study in a file of the tracking folder; else the address of a database that
            several hosts share (``postgresql+psycopg://…``).
        executor: ``local`` processes, or ``ray`` for the nodes of a Ray cluster.
        address: of the Ray cluster; ``local`` starts one here.
    """

    name: str = "lambda_bits"
    n_trials: int = number(30, 1, 1_000_000, "trials")
    space: dict[str, Range] = field(default_factory=dict[str, Range])
    variant: str = "binary"
    objective: str = choice("accuracy", ("accuracy", "pareto"))
    costs: list[str] = field(default_factory=lambda: ["parameter_bytes"])
    spread: float = number(1.0, 0.0, 100.0)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    repeats: int = number(1, 1, 1000)
    prune: bool = True
    sampler: str = choice("tpe", ("tpe", "random"))
    seed: int = number(0, 0, 2**31 - 1)
    front: int = number(6, 1, 100, "networks")
    obvious: bool = False
    storage: str = "journal"
    executor: str = choice("local", ("local", "ray"))
    address: str = "auto"

    def check(self, path: str) -> None:
        """Refuse bits that no kernel has, and costs that nobody counts."""
        bits = self.space["bits"].choices if "bits" in self.space else [1]
        if not bits or not set(bits) <= set(BITS):
            raise ConfigError(f"{path}.space.bits.choices: choose among 1, 2, 3, 4 and 8; got {list(bits)}.")
        if not self.costs or not set(self.costs) <= set(COSTS):
            raise ConfigError(f"{path}.costs: choose among {', '.join(COSTS)}; got {list(self.costs)}.")

    @property
    def pareto(self) -> bool:
        """Whether there is more than one objective."""
        return self.objective == "pareto"


SEARCHES: Registry[object] = Registry("search")
for _name in ("lambda", "bits", "lambda_bits", "width_bits"):
    SEARCHES.register(_name, SearchConfig, "bitq.search.study:opened")
