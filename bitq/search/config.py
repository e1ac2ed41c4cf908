"""The config of a search: what may vary, how many trials, and under which byte budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from bitq.core.errors import ConfigError
from bitq.core.fields import choice, number
from bitq.core.registry import Registry


@dataclass
class StrengthSpace:
    """Range of the regularization strength λ, sampled on a logarithmic scale; equal ends fix it."""

    low: float = number(0.1, 1e-6, 1e6)
    high: float = number(10.0, 1e-6, 1e6)

    def check(self, path: str) -> None:
        """Refuse an empty range."""
        if self.low > self.high:
            raise ConfigError(f"{path}: low ≤ high must hold, got low={self.low:g}, high={self.high:g}.")


@dataclass
class SearchConfig:
    """A study over regularization strength and bits per weight matrix.

    Attributes:
        name: what reports and the study's folder call it.
        n_trials: how many trials the study holds in all, those of earlier runs included.
        strength: range of λ.
        bits: what each weight matrix may take; 1, 2, 4 or 8.
        budget_bytes: bound on ``parameter_bytes``; None takes half of what 8 bits everywhere need.
        repeats: trainings per trial; the objective is their mean.
        sampler: Optuna's TPE or plain random.
        seed: of the sampler.
    """

    name: str = "lambda_bits"
    n_trials: int = number(30, 1, 1_000_000, "trials")
    strength: StrengthSpace = field(default_factory=StrengthSpace)
    bits: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    budget_bytes: int | None = number(None, 1, 2**31, "bytes")
    repeats: int = number(1, 1, 1000)
    sampler: str = choice("tpe", ("tpe", "random"))
    seed: int = number(0, 0, 2**31 - 1)

    def check(self, path: str) -> None:
        """Refuse bits that no kernel has."""
        if not self.bits or not set(self.bits) <= {1, 2, 4, 8} or len(set(self.bits)) != len(self.bits):
            raise ConfigError(f"{path}.bits: choose among 1, 2, 4 and 8, each once; got {list(self.bits)}.")


SEARCHES: Registry[object] = Registry("search")
SEARCHES.register("lambda_bits", SearchConfig, "bitq.search.study:opened")
