"""From a wrist recording to the integer windows that the watch would see, the same for every corpus.

Range, rate, noise and resolution are made alike first, so that a network cannot tell corpora apart by them.
Everything is causal: a window that ends at time t uses nothing that was measured after t.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bitq.data.dataset import Step
from bitq.data.recordings import GRAVITY, Recording

RATE_HZ = 25.0
CLIP = 2 * GRAVITY  # m/s^2
KERNEL = np.array([1, 4, 6, 4, 1]) / 16
STEPS_PER_UNIT = 10  # steps of 0.1 m/s^2
LENGTH = 50  # samples of a window: 2 s
HOP = 5  # samples between windows: 0.2 s
LSB = 0.16  # m/s^2 of one step of the network's int8 input: 8/5 of 0.1

PREPROCESS = (
    Step("clip", {"low": -CLIP, "high": CLIP}),
    Step("resample", {"rate_hz": RATE_HZ, "method": "box average over the longer period, linear between samples"}),
    Step("smooth", {"kernel": "1 4 6 4 1", "divide_by": 16, "delay_samples": 2}),
    Step("round", {"step": 0.1, "ties": "up"}),
    Step("mirror", {"channel": "acc_x", "when": "right wrist", "multiply_by": -1}),
    Step("window", {"length": LENGTH, "hop": HOP}),
    Step("rescale", {"multiply_by": 5, "add": 4, "shift_right": 3}),
)


def to_steps(recording: Recording) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Return the times in seconds, ``(n,)``, and the signal in steps of 0.1 m/s^2, ``(n, 3)``, at 25 Hz.

    A sample of the recording counts for the period that ends with it. Each output is the mean over the longer
    of the two periods: a box average where the recording is faster than 25 Hz, linear interpolation where slower.
    """
    acc = np.clip(recording.acc * recording.acc_lsb, -CLIP, CLIP)
    period_s = 1 / recording.rate_hz
    width_s = max(period_s, 1 / RATE_HZ)
    integral = np.concatenate([np.zeros((1, 3)), np.cumsum(acc, axis=0) * period_s])
    edges_s = (np.arange(len(acc) + 1) - 1) * period_s
    count = int(np.floor((edges_s[-1] - edges_s[0] - width_s) * RATE_HZ + 1e-6)) + 1
    times_s = edges_s[0] + width_s + np.arange(max(0, count)) / RATE_HZ
    average = np.stack(
        [
            np.interp(times_s, edges_s, channel) - np.interp(times_s - width_s, edges_s, channel)
            for channel in integral.T
        ],
        axis=1,
    )
    taps = len(KERNEL)
    if len(times_s) < taps:
        return np.empty(0), np.empty((0, 3), np.int16)
    smooth = sliding_window_view(average / width_s, taps, axis=0) @ KERNEL
    steps = np.floor(smooth * STEPS_PER_UNIT + 0.5).astype(np.int16)
    if recording.side == "R":
        steps[:, 0] *= -1
    return times_s[taps - 1 :], steps


def to_windows(
    times_s: NDArray[np.float64], steps: NDArray[np.int16]
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Cut a signal into windows.

    Args:
        times_s: of every sample, ``(n,)``.
        steps: 0.1 m/s^2 each, ``(n, 3)``.

    Returns:
        The time of each window's last sample, ``(windows,)``, and a view of the windows at 0.16 m/s^2 per step,
        ``(windows, 3, 50)``.
    """
    if len(steps) < LENGTH:
        return np.empty(0), np.empty((0, 3, LENGTH), np.int8)
    scaled = ((steps.astype(np.int32) * 5 + 4) >> 3).astype(np.int8)  # at most 196 steps: fits in 123
    return times_s[LENGTH - 1 :: HOP], sliding_window_view(scaled, LENGTH, axis=0)[::HOP]
