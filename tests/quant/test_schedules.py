import pytest

from bitq.quant.schedules import SCHEDULES


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_strength_grows_to_one_and_stays(schedule):
    points = [schedule(i / 50) for i in range(101)]
    assert points == sorted(points)
    assert 0 <= points[0] <= points[-1] == 1
    assert set(points[50:]) == {1}


def test_values_worked_by_hand():
    assert [SCHEDULES[name](0.5) for name in ("constant", "linear", "exponential")] == [1, 0.5, pytest.approx(0.01)]
    assert SCHEDULES["exponential"](0) == pytest.approx(1e-4)
    assert SCHEDULES["cosine"](1 / 3) == pytest.approx(0.25)
    assert SCHEDULES["sigmoid"](0.5) == pytest.approx(0.5)
    assert SCHEDULES["sigmoid"](0) == pytest.approx(0)
    assert [SCHEDULES["step"](p) for p in (0, 0.3, 0.34, 0.65, 0.67, 1)] == [0.01, 0.01, 0.1, 0.1, 1, 1]
