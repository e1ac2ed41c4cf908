import random

import optuna
import pytest

from bitq.search.config import Range, SearchConfig
from bitq.search.sampling import distribution, draw, sampler

RANGES = [
    Range(choices=["a", 2, True]),
    Range(low=0.1, high=10.0, log=True),
    Range(low=2.0, high=2.0, log=True),
    Range(low=1.0, high=9.0, step=2.0, integer=True),
    Range(low=0.0, high=1.0, step=0.25),
    Range(low=1.0, high=64.0, log=True, integer=True),
]


@pytest.mark.parametrize("allowed", RANGES, ids=str)
def test_what_is_drawn_at_random_is_what_the_study_allows(allowed):
    source, told = random.Random(0), distribution(allowed)
    for _ in range(30):
        value = draw(source, allowed)
        assert told._contains(told.to_internal_repr(value))
        assert allowed.nearest(value) == value


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_a_sampler_depends_on_its_seed_alone(name):
    def proposed(seed):
        study = optuna.create_study(sampler=sampler(SearchConfig(sampler=name), seed))
        return [study.ask({"x": distribution(RANGES[1])}).params["x"] for _ in range(4)]

    assert proposed(1) == proposed(1)
    assert proposed(1) != proposed(2)
