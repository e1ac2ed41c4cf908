import pytest

from bitq.core.metrics import merit, title, with_spread, with_unit, written


def test_less_of_an_error_is_better_and_more_of_a_share():
    assert merit("mae", 0.1) > merit("mae", 0.2)
    assert merit("accuracy", 0.9) > merit("accuracy", 0.8)


@pytest.mark.parametrize(
    ("metric", "value", "text", "whole"),
    [
        ("auc", 0.97314, "97.31", "97.31 %"),
        ("mae", 0.0123456, "0.01235", "mae 0.01235"),
        ("mae", 12345.6, "12,346", "mae 12,346"),
        ("mae", 2.0, "2.000", "mae 2.000"),
        ("mae", 0.0, "0", "mae 0"),
        ("mae", 0.0000123456, "1.235e-05", "mae 1.235e-05"),
        ("accuracy", float("nan"), "n/a", "n/a"),
    ],
)
def test_values_are_written_in_their_unit(metric, value, text, whole):
    assert written(metric, value) == text
    assert with_unit(metric, value) == whole


@pytest.mark.parametrize(
    ("metric", "mean", "std", "text"),
    [
        ("mae", 1.4741, 0.0051, "1.474 ± 0.005"),
        ("mae", 1503.2, 4.2, "1,503 ± 4"),
        ("mae", 0.0, 0.0, "0 ± 0"),
        ("accuracy", 0.98, 0.0123, "98.00 ± 1.23"),
        ("mae", float("nan"), float("nan"), "n/a ± n/a"),
    ],
)
def test_a_spread_has_the_decimals_of_its_mean(metric, mean, std, text):
    assert with_spread(metric, mean, std) == text


def test_a_title_is_read_by_people():
    assert title("mae") == "mean absolute error"
    assert title("balanced_accuracy") == "balanced accuracy"
