"""A small wrist simulator: wearers who raise the watch to look at it, and do much that resembles it.

The direction of gravity in the watch's frame moves between poses with minimum jerk (10s³ − 15s⁴ + 6s⁵; Flash and
Hogan 1985); the hand's own acceleration, body motion, tremor and a sensor model come on top. Durations, angles
and jitter follow quantiles measured on real raises. It makes recordings in the form that the reader gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.data.recordings import GRAVITY, Event, Recording

RATE_HZ = 50.0
SECONDS = 120.0
RECORDINGS = 6  # per wearer
ACC_LSB = 0.005  # m/s^2
Array = NDArray[np.float64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Wearer:
    """What stays the same for one person: viewing angles in rad, speed, wrist side and the watch's errors."""

    pitch: float
    lateral: float
    slowness: float
    side: str
    gain: Array
    offset: Array


@dataclass(frozen=True)
class Movement:
    """A kind of arm movement.

    Attributes:
        share: how often it happens, relative to the others.
        pose: draws the final direction of gravity's reaction, left wrist.
        duration_s: median of the movement.
        reach_m: how far the hand rises.
        dwell_s: median stay in the pose.
        jitter: acceleration noise in the pose, m/s^2.
    """

    share: float
    pose: Callable[[Generator, Wearer], Array]
    duration_s: float
    reach_m: float
    dwell_s: float
    jitter: float


def _near(x: float, y: float, z: float, spread: float) -> Callable[[Generator, Wearer], Array]:
    return lambda rng, wearer: np.array([x, y, z]) + rng.normal(0, spread, 3)


def _view(rng: Generator, wearer: Wearer) -> Array:
    pitch, lateral = rng.normal(wearer.pitch, 0.15), rng.normal(wearer.lateral, 0.1)
    return np.array([math.sin(lateral), math.sin(pitch) * math.cos(lateral), math.cos(pitch) * math.cos(lateral)])


MOVEMENTS = {
    "look": Movement(0.40, _view, 1.5, 0.60, 2.5, 0.25),
    "drink": Movement(0.10, _near(0.7, -0.3, 0.45, 0.15), 1.40, 0.60, 3.0, 0.3),
    "touch the head": Movement(0.08, _near(0.85, -0.2, -0.2, 0.2), 1.20, 0.80, 3.0, 0.5),
    "raise without turning": Movement(0.12, _near(-0.1, -0.9, 0.15, 0.15), 1.20, 0.50, 3.0, 0.3),
    "put on the desk": Movement(0.10, _near(0.05, -0.15, 0.95, 0.12), 1.60, 0.25, 6.0, 0.5),
    "drift": Movement(0.05, _view, 6.0, 0.20, 4.0, 0.2),
    "gesture": Movement(0.15, _near(0.0, -0.3, -0.1, 0.7), 0.80, 0.40, 1.0, 0.8),
}
BASES = (_near(-0.92, -0.3, 0.15, 0.12), _near(-0.3, -0.8, 0.1, 0.15), _near(-0.5, -0.55, -0.5, 0.15))
GAITS = ((0.0, 0.0), (0.0, 0.0), (1.85, 2.2), (2.7, 7.0))  # steps per second, amplitude in m/s^2


def simulate(subjects: int, seed: int) -> list[Recording]:
    """Make the recordings of several wearers, a quarter of them on the right wrist.

    Args:
        subjects: number of wearers; each gives 12 minutes and, on average, some 25 looks.
        seed: equal seeds give equal recordings; a wearer does not depend on how many others there are.
    """
    recordings: list[Recording] = []
    for index in range(subjects):
        rng = np.random.default_rng([seed, index])
        wearer = Wearer(
            pitch=math.radians(rng.normal(16, 12)),
            lateral=math.radians(rng.normal(-1, 5)),
            slowness=float(rng.lognormal(0, 0.2)),
            side="R" if rng.random() < 0.25 else "L",
            gain=1 + rng.uniform(-0.01, 0.01, 3),
            offset=rng.uniform(-0.3, 0.3, 3),
        )
        recordings += [_record(rng, wearer, f"simulated/w{index:03d}", place) for place in range(RECORDINGS)]
    return recordings


def _record(rng: Generator, wearer: Wearer, subject: str, place: int) -> Recording:
    count = int(SECONDS * RATE_HZ)
    base = BASES[rng.integers(len(BASES))]
    cadence_hz, gait = GAITS[rng.integers(len(GAITS))]
    up = np.tile(_unit(base(rng, wearer)), (count, 1))
    hand, jitter, free = np.zeros((count, 3)), np.full(count, 0.12), np.ones(count)
    events: list[Event] = []
    names, shares = list(MOVEMENTS), np.array([movement.share for movement in MOVEMENTS.values()])
    now = int(rng.uniform(2, 5) * RATE_HZ)
    while True:
        name = names[rng.choice(len(names), p=shares / shares.sum())]
        movement = MOVEMENTS[name]
        duration_s = float(np.clip(movement.duration_s * wearer.slowness * rng.lognormal(0, 0.65), 0.3, 9))
        dwell_s = float(np.clip(movement.dwell_s * rng.lognormal(0, 0.6), 0.8, 15))
        back_s = duration_s * rng.uniform(0.8, 1.3)
        arrive = now + int(duration_s * RATE_HZ)
        leave = arrive + int(dwell_s * RATE_HZ)
        home = leave + int(back_s * RATE_HZ)
        if home >= count - RATE_HZ:
            break
        target, origin = _unit(movement.pose(rng, wearer)), up[now]
        if name != "look" or origin @ target < 0.77:  # a look turns the watch by 40 degrees at least
            reach_m = movement.reach_m * rng.uniform(0.5, 1.3)
            _move(rng, up, hand, slice(now, arrive), target, reach_m)
            if name == "look":
                events.append(_event(up[now:arrive], now))
            jitter[arrive:leave] = movement.jitter * rng.lognormal(0, 0.5)
            free[now:home] = rng.uniform(0.1, 0.5)
            _move(rng, up, hand, slice(leave, home), _unit(base(rng, wearer)), -reach_m)
        now = home + int(rng.uniform(1.0, 5.0) * RATE_HZ)
    acc = _body(rng, up, hand, jitter, np.convolve(free, np.ones(15) / 15, "same"), cadence_hz, gait)
    acc = (acc @ _mounting(rng).T) * wearer.gain + wearer.offset + rng.normal(0, 0.02, acc.shape)
    if wearer.side == "R":
        acc[:, 0] *= -1
    stored = np.clip(np.rint(acc / ACC_LSB), -32768, 32767).astype(np.int16)
    return Recording("simulated", subject, f"{subject}_{place}", wearer.side, RATE_HZ, stored, ACC_LSB, tuple(events))


def _move(rng: Generator, up: Array, hand: Array, span: slice, target: Array, reach_m: float) -> None:
    """Turn ``up`` from its present direction to the target over ``span`` and stay; add the hand's acceleration."""
    length = span.stop - span.start
    s = np.arange(1, length + 1) / length
    progress = s**3 * (10 - 15 * s + 6 * s**2)
    if rng.random() < 0.2:  # overshoots and comes back
        progress = progress + rng.uniform(0.03, 0.08) * np.sin(np.pi * np.clip(3 * s - 2, 0, 1))
    origin = up[span.start - 1]
    angle = math.acos(float(np.clip(origin @ target, -1, 1)))
    sideways = rng.normal(0, 0.25, 3) * np.sin(np.pi * progress)[:, None]  # no arm turns in a plane
    weights = np.sin(angle * np.stack([1 - progress, progress], axis=1)) / max(math.sin(angle), 1e-3)
    up[span] = _unit(weights @ np.stack([origin, target]) + sideways)
    up[span.stop :] = target
    duration_s = length / RATE_HZ
    push = reach_m / duration_s**2 * (60 * s - 180 * s**2 + 120 * s**3)
    hand[span] += push[:, None] * (up[span] + rng.normal(0, 0.4, 3))


def _event(path: Array, start: int) -> Event:
    """Mark a look as the recordings do: from the last 80 % of the rotation to 20 degrees before its end."""
    left = np.arccos(np.clip(path @ path[-1], -1, 1))
    onset = int(np.flatnonzero(left >= 0.8 * left.max())[-1])
    settle = int(np.flatnonzero(left <= math.radians(20))[0])
    return Event("raise_end", "A", (start + min(onset, settle)) / RATE_HZ, (start + settle) / RATE_HZ)


def _body(
    rng: Generator, up: Array, hand: Array, jitter: Array, free: Array, cadence_hz: float, gait: float
) -> Array:
    """Return what an ideal sensor measures, m/s^2: gravity, swinging arm, steps, the hand's path and tremor."""
    count = len(up)
    pace = cadence_hz * rng.uniform(0.88, 1.12) * (1 + 0.03 * _smooth(rng.normal(0, 1, (count, 1)), 100)[:, 0])
    phase = 2 * np.pi * np.cumsum(pace) / RATE_HZ
    swing = 0.0 if gait == 0 else rng.uniform(0.2, 0.5)
    sway = 0.03 * _smooth(rng.normal(0, 1, up.shape), 50)
    tilted = _unit(up + sway + (swing * free * np.sin(phase / 2))[:, None] * np.array([0.1, 0.9, 0.4]))
    steps = gait * free * (np.sin(phase) + 0.4 * np.sin(2 * phase + rng.uniform(0, 6)))
    white = rng.normal(0, 1, up.shape)
    tremor = _smooth(white, 3) - _smooth(white, 25) * math.sqrt(3 / 25)
    return tilted * (GRAVITY + steps)[:, None] + hand + jitter[:, None] * tremor


def _smooth(values: Array, width: int) -> Array:
    """Moving average of ``(n, channels)``, scaled so that white noise keeps its standard deviation."""
    kernel = np.full(width, 1 / math.sqrt(width))
    return np.stack([np.convolve(channel, kernel, "same") for channel in values.T], axis=1)


def _mounting(rng: Generator) -> Array:
    """Return the rotation of a strap that sits a little askew: up to 15, 5 and 10 degrees about x, y and z."""
    total = np.eye(3)
    for axis, most in enumerate((15, 5, 10)):
        angle = math.radians(rng.uniform(-most, most))
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[second, first], turn[first, second] = math.sin(angle), -math.sin(angle)
        total = turn @ total
    return total


def _unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
