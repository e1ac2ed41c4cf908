import pytest

from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.search.config import SearchConfig, StrengthSpace


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (SearchConfig(n_trials=0), "search.n_trials: must be 1 to"),
        (SearchConfig(bits=[]), "search.bits: choose among"),
        (SearchConfig(bits=[3]), "search.bits: choose among"),
        (SearchConfig(bits=[1, 1]), "each once"),
        (SearchConfig(budget_bytes=0), "search.budget_bytes: .* bytes"),
        (SearchConfig(sampler="tp"), "Did you mean 'tpe'"),
        (SearchConfig(strength=StrengthSpace(2.0, 1.0)), "search.strength: low ≤ high must hold, got low=2, high=1"),
        (SearchConfig(strength=StrengthSpace(0.0, 1.0)), "search.strength.low: must be"),
    ],
)
def test_wrong_values_are_refused_by_key(config, says):
    with pytest.raises(ConfigError, match=says):
        validate(config, "search")


def test_the_defaults_and_a_fixed_strength_are_fine():
    validate(SearchConfig(), "search")
    validate(SearchConfig(strength=StrengthSpace(2.0, 2.0)), "search")
