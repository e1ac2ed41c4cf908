from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.core.errors import ConfigError
from bitq.core.fields import choice, field_names, number, validate


@dataclass
class Inner:
    rate_hz: float = number(50.0, 0.1, 1000.0, "Hz")
    kind: str = choice("one", ("one", "two"))


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)
    many: dict[str, Inner] = field(default_factory=dict)
    row: list[float] = field(default_factory=list)
    limit: int | None = number(None, 1, 10)
    free: float = 0.0

    def check(self, path: str) -> None:
        if self.free < 0:
            raise ConfigError(f"{path}.free: negative")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (Outer(Inner(-50.0)), r"^x\.inner\.rate_hz: must be 0\.1 to 1000\.0 Hz, got -50\.0\.$"),
        (Outer(Inner(float("nan"))), r"^x\.inner\.rate_hz: must be finite, got nan\.$"),
        (Outer(Inner(float("inf"))), "x.inner.rate_hz: must be finite"),
        (Outer(Inner(kind="too")), r"^x\.inner\.kind: unknown value 'too'\. Did you mean 'two'\?$"),
        (Outer(many={"a": Inner(0.0)}), "x.many.a.rate_hz: must be"),
        (Outer(row=[1.0, float("inf")]), r"x\.row\[1\]: must be finite"),
        (Outer(limit=0), "x.limit: must be 1 to 10, got 0"),
        (Outer(free=float("-inf")), "x.free: must be finite"),
        (Outer(free=-1.0), "x.free: negative"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_what_is_allowed(config, says):
    with pytest.raises(ConfigError, match=says):
        validate(config, "x")


@given(st.floats(0.1, 1000), st.sampled_from(["one", "two"]), st.none() | st.integers(1, 10))
def test_what_is_allowed_passes(rate, kind, limit):
    validate(Outer(Inner(rate, kind), {"a": Inner(rate)}, [rate], limit))


def test_names_of_nested_fields_are_dotted():
    assert field_names(Outer) == ["inner", "inner.rate_hz", "inner.kind", "many", "row", "limit", "free"]
