from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from bitq.data.config import Face2WakeConfig
from bitq.data.load import load
from bitq.data.recordings import GRAVITY, Recording
from bitq.data.simulator import SECONDS, simulate
from bitq.data.wrist import to_steps


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return simulate(12, seed=3)


def test_equal_seeds_give_equal_wearers(recordings: list[Recording]) -> None:
    fewer = simulate(2, seed=3)
    for one, other in zip(fewer, recordings, strict=False):
        np.testing.assert_array_equal(one.acc, other.acc)
        assert one.events == other.events
    assert (simulate(1, seed=4)[0].acc != recordings[0].acc).any()


def test_wearers_differ_and_both_wrists_occur(recordings: list[Recording]) -> None:
    assert len({one.subject for one in recordings}) == 12
    assert {one.side for one in recordings} == {"L", "R"}
    for subject in {one.subject for one in recordings}:
        assert len({one.side for one in recordings if one.subject == subject}) == 1


def test_events_lie_inside_and_end_with_the_screen_up(recordings: list[Recording]) -> None:
    rises_s: list[float] = []
    turned: list[float] = []
    up: list[float] = []
    for one in recordings:
        times_s, steps = to_steps(one)
        for event in one.events:
            assert 0 <= event.onset_s <= event.settle_s < SECONDS
            rises_s.append(event.settle_s - event.onset_s)
            before = steps[(times_s > event.onset_s - 0.6) & (times_s < event.onset_s)].mean(axis=0)
            after = steps[(times_s > event.settle_s + 0.2) & (times_s < event.settle_s + 0.7)].mean(axis=0)
            before, after = before / np.linalg.norm(before), after / np.linalg.norm(after)
            turned.append(float(np.degrees(np.arccos(np.clip(before @ after, -1, 1)))))
            up.append(float(after[2]))
    assert len(up) > 150
    assert np.quantile(up, 0.1) > 0.6
    # quantiles measured on real raises: rise 0.30 / 0.52 / 0.96 s, rotation 91 / 108 / 125 degrees
    assert 0.25 < np.median(rises_s) < 0.8
    assert 60 < np.median(turned) < 125


def test_gravity_is_there_and_hanging_arms_read_the_side(recordings: list[Recording]) -> None:
    norm = np.linalg.norm(np.concatenate([one.acc for one in recordings]) * recordings[0].acc_lsb, axis=1)
    assert abs(np.median(norm) / GRAVITY - 1) < 0.05
    mean_x = {
        side: np.mean([to_steps(one)[1][:, 0].mean() for one in recordings if one.side == side]) for side in "LR"
    }
    assert mean_x["L"] < 0  # after mirroring, both wrists look like a left one
    assert mean_x["R"] < 0


def test_the_task_can_be_learned_but_not_by_a_straight_line() -> None:
    dataset = load(Face2WakeConfig(source="simulated"))
    flat = [split.x.reshape(len(split), -1) / 64 for split in (dataset.train, dataset.test)]
    model = LogisticRegression(class_weight="balanced", max_iter=300, C=0.01).fit(flat[0], dataset.train.y)
    assert 0.75 < balanced_accuracy_score(dataset.test.y, model.predict(flat[1])) < 0.97
