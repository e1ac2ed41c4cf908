"""Arguments of a study are values by key, and a wrong key is named."""

import pytest

from bitq.core.errors import ConfigError
from pipelines.arguments import choices


def test_what_is_given_replaces_a_default_and_a_value_may_hold_the_sign():
    assert choices(["net=a,b", "bits=1=2"], net="c", bits="1", seeds="5") == {
        "net": "a,b",
        "bits": "1=2",
        "seeds": "5",
    }


def test_an_unknown_key_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown argument 'nets'.*net"):
        choices(["nets=a"], net="c")
