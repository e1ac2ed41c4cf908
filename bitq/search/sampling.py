"""From the ranges of a space to Optuna's samplers and distributions, and to its points in random order."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bitq.search.config import Params, Range, SearchConfig

_ALL = 100_000  # points of a space, up to which every one of them is tried
_SOME = 1000


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


def points(source: random.Random, space: Mapping[str, Range]) -> Iterator[Params]:
    """Yield every point of a small finite space once, in random order; a thousand random ones of any other."""
    grid = [_values(allowed) for allowed in space.values()]
    count = math.prod(len(values) for values in grid)
    if 0 < count <= _ALL:
        for index in source.sample(range(count), count):
            params: Params = {}
            for name, values in zip(space, grid, strict=True):
                index, place = divmod(index, len(values))
                params[name] = values[place]
            yield params
        return
    for _ in range(_SOME):
        yield {name: draw(source, allowed) for name, allowed in space.items()}


def _values(allowed: Range) -> list[Any]:
    """Return all values of a range; none where there are too many to count."""
    if allowed.choices:
        return list(allowed.choices)
    assert allowed.low is not None
    assert allowed.high is not None
    step = allowed.step or (1.0 if allowed.integer else None)
    if allowed.low == allowed.high:
        return [allowed.nearest(allowed.low)]
    if step is None or (allowed.high - allowed.low) / step > _ALL:
        return []
    return [
        allowed.nearest(allowed.low + i * step) for i in range(int((allowed.high - allowed.low) / step + 1e-9) + 1)
    ]
