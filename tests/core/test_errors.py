import pickle
import re

import pytest

from bitq.core import errors
from bitq.core.errors import BitqError, nearest

KINDS = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, BitqError)]


def test_the_tree_is_the_one_that_is_drawn():
    drawn = re.findall(r"(\w+Error) +(\d)\b", errors.__doc__)
    assert {(name, int(code)) for name, code in drawn} == {(kind.__name__, kind.exit_code) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_an_error_survives_the_way_from_a_worker(kind):
    error = pickle.loads(pickle.dumps(kind("a.csv:3: what")))
    assert type(error) is kind
    assert str(error) == "a.csv:3: what"


def test_the_nearest_name_is_suggested_else_all_are_listed():
    assert nearest("bianry", ["binary", "ternary"]) == " Did you mean 'binary'?"
    assert nearest("xyz", ["b", "a"]) == " Allowed: a, b."
    assert nearest("xyz", []) == ""


def test_of_many_names_the_closest_are_listed():
    many = [f"quant.field_{number}" for number in range(60)] + ["colour"]
    said = nearest("cxxr", many)
    assert said.startswith(" Allowed: colour, ")
    assert said.endswith(" and 53 more.")
    assert len(said) < 200
