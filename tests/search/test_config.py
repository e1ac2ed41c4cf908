import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.search.config import BudgetConfig, Range, SearchConfig

STRENGTH = Range(low=0.1, high=10.0, log=True)
BITS = Range(choices=[1, 2, 8])


def search(**more):
    return SearchConfig(**{"space": {"strength": STRENGTH, "bits": BITS}, **more})


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (search(n_trials=0), "search.n_trials: must be 1 to"),
        (search(space={"bits": Range(low=1, high=8)}), "search.space.bits.choices: choose among"),
        (search(space={"bits": Range(choices=[5])}), "search.space.bits.choices: choose among"),
        (search(space={"bits": Range(choices=[1, 1])}), "search.space.bits.choices: .* each once"),
        (search(space={"strength": Range(choices=[1], low=1.0)}), "search.space.strength: give choices or low"),
        (search(space={"strength": Range(low=2.0, high=1.0)}), "low ≤ high must hold, got low=2.0, high=1.0"),
        (search(space={"strength": Range(low=2.0)}), "low ≤ high must hold, got low=2.0, high=None"),
        (search(space={"strength": Range(low=0.0, high=1.0, log=True)}), "search.space.strength: .*low > 0"),
        (search(space={"x": Range(low=0.5, high=2.0, integer=True)}), "search.space.x: integer needs whole low"),
        (search(budget=BudgetConfig(parameter_bytes=0)), "search.budget.parameter_bytes: .* bytes"),
        (search(costs=["flash"]), "search.costs: choose among .*flash_bytes"),
        (search(objective="pareot"), "Did you mean 'pareto'"),
        (search(sampler="tp"), "Did you mean 'tpe'"),
    ],
)
def test_wrong_values_are_refused_by_key(config, says):
    with pytest.raises(ConfigError, match=says):
        validate(config, "search")


def test_a_full_space_and_a_fixed_parameter_are_fine():
    validate(search(), "search")
    validate(search(space={"strength": Range(low=2.0, high=2.0)}), "search")


@given(
    st.one_of(
        st.just(Range(choices=[1, 4, 8])),
        st.just(Range(low=0.5, high=3.0)),
        st.just(Range(low=1.0, high=9.0, step=2.0, integer=True)),
        st.just(Range(low=0.0, high=1.0, step=0.25)),
    ),
    st.floats(-100, 100),
)
def test_the_nearest_value_is_allowed_and_no_allowed_one_is_nearer(allowed, value):
    found = allowed.nearest(value)
    assert allowed.nearest(found) == found
    candidates = allowed.choices or [allowed.low, allowed.high, (allowed.low + allowed.high) / 2]
    reachable = [allowed.nearest(c) for c in candidates]
    assert all(abs(found - value) <= abs(other - value) + 1e-9 for other in reachable)


def test_the_nearest_word_is_itself_or_the_first():
    words = Range(choices=["linear", "cosine"])
    assert words.nearest("cosine") == "cosine"
    assert words.nearest("step") == "linear"
