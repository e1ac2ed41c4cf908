"""From the ranges of a space to Optuna's samplers and distributions, and to plain random draws."""

from __future__ import annotations

import random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bitq.search.config import Range, SearchConfig


def sampler(config: SearchConfig, seed: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of a search."""
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)


def distribution(allowed: Range) -> BaseDistribution:
    """Return what Optuna calls a range."""
    if allowed.choices:
        return CategoricalDistribution(list(allowed.choices))
    assert allowed.low is not None
    assert allowed.high is not None
    log = allowed.log and allowed.low < allowed.high
    if allowed.integer:
        return IntDistribution(int(allowed.low), int(allowed.high), log=log, step=int(allowed.step or 1))
    return FloatDistribution(allowed.low, allowed.high, log=log, step=allowed.step)


def draw(source: random.Random, allowed: Range) -> Any:
    """Return a random value of a range."""
    if allowed.choices:
        return source.choice(allowed.choices)
    assert allowed.low is not None
    assert allowed.high is not None
    if allowed.log:
        return allowed.nearest(allowed.low * (allowed.high / allowed.low) ** source.random())
    return allowed.nearest(source.uniform(allowed.low, allowed.high))
