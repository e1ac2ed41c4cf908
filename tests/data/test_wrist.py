from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.data.recordings import Recording
from bitq.data.wrist import to_steps, to_windows

Maker = Callable[..., Any]
RATES = (12.5, 20.0, 25.0, 32.0, 50.0, 100.0)


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_constant_stays_and_a_ramp_is_delayed_by_the_filters_alone(recording: Maker, rate_hz: float) -> None:
    n = int(10 * rate_hz)
    times = np.arange(n) / rate_hz
    times_s, steps = to_steps(recording(np.stack([np.full(n, 1.2), times, -times], axis=1), rate_hz, lsb=0.0005))
    assert set(steps[:, 0].tolist()) == {12}
    # centre of the box or of the two samples that are joined, then two samples of smoothing
    delay_s = (max(1 / rate_hz, 1 / 25) - 1 / rate_hz) / 2 + 2 / 25
    assert np.abs(steps[:, 1] / 10 - (times_s - delay_s)).max() <= 0.0501
    np.testing.assert_allclose(np.diff(times_s), 1 / 25)
    assert times[-1] - 1 / 25 < times_s[-1] <= times[-1] + 1e-9


@pytest.mark.parametrize("rate_hz", RATES)
def test_nothing_looks_ahead(recording: Maker, rate_hz: float) -> None:
    rng = np.random.default_rng(0)
    acc = rng.normal(0, 5, (int(8 * rate_hz), 3))
    times_s, whole = to_steps(recording(acc, rate_hz))
    cut = int(5 * rate_hz)
    _, early = to_steps(recording(acc[:cut], rate_hz))
    np.testing.assert_array_equal(early, whole[: len(early)])
    assert times_s[len(early)] > (cut - 1) / rate_hz - 1e-9


def test_clipping_comes_before_averaging(recording: Maker) -> None:
    acc = np.tile([[100.0, -100.0, 0.0], [-100.0, -100.0, 0.0]], (60, 1))
    _, steps = to_steps(recording(acc, 50.0))
    assert set(steps[:, 0].tolist()) == {0}
    assert set(steps[:, 1].tolist()) == {-196}


def test_a_right_wrist_is_mirrored_in_x_alone(recording: Maker) -> None:
    acc = np.random.default_rng(1).normal(0, 8, (200, 3))
    _, left = to_steps(recording(acc, side="L"))
    _, right = to_steps(recording(acc, side="R"))
    np.testing.assert_array_equal(right, left * [-1, 1, 1])
    np.testing.assert_array_equal(to_steps(recording(acc, side="?"))[1], left)


@given(st.integers(-196, 196))
def test_rescaling_is_the_nearest_eight_fifths(step: int) -> None:
    _, windows = to_windows(np.arange(50.0), np.full((50, 3), step, np.int16))
    assert windows.shape == (1, 3, 50)
    assert windows.dtype == np.int8
    assert abs(int(windows[0, 0, 0]) - step * 5 / 8) <= 0.5


def test_windows_hold_consecutive_samples_and_end_on_the_hop() -> None:
    steps = np.stack([np.arange(73), np.zeros(73), -np.arange(73)], axis=1).astype(np.int16)
    ends_s, windows = to_windows(np.arange(73) / 25, steps)
    np.testing.assert_allclose(ends_s * 25, [49, 54, 59, 64, 69])
    for end, window in zip(ends_s * 25, windows, strict=True):
        np.testing.assert_array_equal(window[0], (np.arange(round(end) - 49, round(end) + 1) * 5 + 4) >> 3)


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 53])
def test_short_recordings_give_no_window(recording: Maker, n: int) -> None:
    short: Recording = recording(np.zeros((n, 3)))
    ends_s, windows = to_windows(*to_steps(short))
    assert len(ends_s) == len(windows) == 0
