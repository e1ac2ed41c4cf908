import pytest

from bitq.core.metrics import merit, with_unit, written


def test_less_of_an_error_is_better_and_more_of_a_share():
    assert merit("mae", 0.1) > merit("mae", 0.2)
    assert merit("accuracy", 0.9) > merit("accuracy", 0.8)


@pytest.mark.parametrize(
    ("metric", "value", "text", "whole"),
    [
        ("auc", 0.97314, "97.31", "97.31 %"),
        ("mae", 0.0123456, "0.01235", "0.01235"),
        ("mae", 12345.6, "1.235e+04", "1.235e+04"),
        ("accuracy", float("nan"), "n/a", "n/a %"),
    ],
)
def test_values_are_written_in_their_unit(metric, value, text, whole):
    assert written(metric, value) == text
    assert with_unit(metric, value) == whole
