import pytest
import torch
from torch import nn

from bitq.core.errors import ConfigError
from bitq.quant.policy import matrix_names, resolve

MODEL = nn.ModuleDict(
    {"conv": nn.Conv1d(2, 3, 5), "norm": nn.BatchNorm1d(3), "head": nn.Linear(3, 2), "gru": nn.GRU(3, 2)}
)


def chosen(policy: dict[str, str]) -> dict[str, str]:
    return {name: book.name for name, book in resolve(policy, MODEL).items()}


def test_only_parameters_of_two_or_more_dimensions_are_quantized():
    names = matrix_names(MODEL)
    assert names == ["conv.weight", "head.weight", "gru.weight_ih_l0", "gru.weight_hh_l0"]
    assert list(chosen({"*": "bipolar"})) == names


def test_the_last_match_wins():
    assert chosen({"*": "bipolar", "head.*": "int8"})["head.weight"] == "int8"
    assert chosen({"head.*": "int8", "*": "bipolar"})["head.weight"] == "bipolar"


def test_first_and_last_are_places_unless_they_are_names():
    policy = {"*": "bipolar", "first": "int8", "last": "odd4"}
    assert [*chosen(policy).values()] == ["int8", "bipolar", "bipolar", "odd4"]
    named = nn.ParameterDict({"last": nn.Parameter(torch.ones(2, 2)), "other": nn.Parameter(torch.ones(2, 2))})
    assert {name: book.name for name, book in resolve(policy, named).items()} == {"last": "odd4", "other": "bipolar"}


def test_float_leaves_a_matrix_alone():
    assert list(chosen({"*": "odd2", "gru.*": "float"})) == ["conv.weight", "head.weight"]


def test_what_no_pattern_names_stays_float():
    assert chosen({"conv.weight": "ternary"}) == {"conv.weight": "ternary"}


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"haed.weight": "int8"}, "'haed.weight' matches no weight matrix.*Did you mean 'head.weight'"),
        ({"conv.bias": "int8"}, "'conv.bias' matches no weight matrix"),
        ({"norm.weight": "int8"}, "'norm.weight' matches no weight matrix"),
        ({"*": "bipolar", "x*": "int8"}, "'x.' matches no weight matrix"),
        ({"*": "bipolr"}, "unknown codebook 'bipolr'.*Did you mean 'bipolar'"),
        ({"*": "flaot"}, "Did you mean 'float'"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_nearest(policy, says):
    with pytest.raises(ConfigError, match=says):
        resolve(policy, MODEL)
