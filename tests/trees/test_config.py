import pytest

from bitq.config import compose
from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.ir.ops import features
from bitq.trees.config import KINDS, STATISTICS, ForestConfig


@pytest.mark.parametrize(
    ("kinds", "said"), [(["tree", "forests"], r"kinds\[1\].*'forest'"), ([], "at least one"), (["tree"] * 2, "once")]
)
def test_kinds_that_mean_nothing_are_refused(kinds, said):
    with pytest.raises(ConfigError, match=said):
        validate(ForestConfig(kinds=kinds), "model")


def test_the_statistics_are_those_of_the_operation():
    assert STATISTICS == features.KINDS
    with pytest.raises(ConfigError, match=r"statistics\[0\].*'std'"):
        validate(ForestConfig(statistics=["sdt"]), "model")


def test_statistics_need_a_time_axis():
    ForestConfig(features="auto").check_data("classification", (1, 8, 8))
    ForestConfig(features="statistics").check_data("classification", (3, 50))
    with pytest.raises(ConfigError, match=r"model\.windows: 9 samples make at most 4 windows of 2, got 5"):
        ForestConfig().check_data("classification", (3, 9))
    with pytest.raises(ConfigError, match=r"model\.features.*\(1, 8, 8\).*raw"):
        ForestConfig(features="statistics").check_data("classification", (1, 8, 8))


def test_a_task_that_no_kind_learns_is_refused():
    assert ForestConfig().learning("anomaly") == ["isolation"]
    assert ForestConfig(kinds=["soft", "boosting", "tree"]).learning("regression") == ["boosting", "tree"]
    assert ForestConfig().learning(None) == list(KINDS["classification"])
    assert ForestConfig(kinds=["isolation"]).learning(None) == ["isolation"]
    with pytest.raises(ConfigError, match=r"model\.kinds: soft cannot learn a regression; choose from tree, forest"):
        ForestConfig(kinds=["soft"]).check_data("regression", (3, 50))


def test_the_kinds_are_the_variants_whatever_networks_an_experiment_compares():
    assert list(compose(["model=forest"]).variants) == list(KINDS["classification"])
    assert list(compose(["model=forest", "model.kinds=[boosting]"]).variants) == ["boosting"]
    mine = ["experiment=arrays", "data.path=some.npz", "model=forest"]
    assert list(compose([*mine, "data.task=regression"]).variants) == list(KINDS["regression"])


def test_there_is_nothing_to_search():
    with pytest.raises(ConfigError, match="search: trees have no bits"):
        compose(["model=forest", "search=lambda_bits"])
