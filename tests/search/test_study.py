import json
import math
import signal
import subprocess
import sys
import time

import pytest

from bitq.core.errors import BitqError, ConfigError
from bitq.search.config import BudgetConfig, Range, SearchConfig
from bitq.search.outcome import Outcome
from bitq.search.study import opened

SPACE = {
    "quant.strength": Range(low=0.1, high=10.0, log=True),
    "bits/conv": Range(choices=[1, 2, 4, 8]),
    "bits/head": Range(choices=[1, 2, 4, 8]),
}
SETTINGS = {"seed": 0, "data": {"name": "digits"}, "policy": {"*": "odd2"}}
ANCHORS = {f"{b} bit": {"quant.strength": 1.0, "bits/conv": b, "bits/head": b} for b in (1, 8)}


def config(**more):
    return SearchConfig(**{"sampler": "random", "budget": BudgetConfig(parameter_bytes=100), **more})


def open_study(folder, settings=SETTINGS, space=SPACE, **more):
    return opened(folder, config(**more), space, settings)


def ended(trial, value=0.5, size=50, state="complete"):
    return Outcome(trial, state, (value,), value, {"parameter_bytes": size})


def run(study, count, value=lambda t: 0.5, size=lambda t: 50):
    trials = []
    for _ in range(count):
        trial = study.ask()
        study.tell(ended(trial, value(trial), size(trial)))
        trials.append(trial)
    return trials


def test_a_new_study_first_tries_the_anchors_under_their_names(tmp_path):
    with open_study(tmp_path) as study:
        study.prepare(ANCHORS)
        trials = run(study, 3)
    assert [(t.anchor, t.params) for t in trials[:2]] == list(ANCHORS.items())
    assert trials[2].anchor == ""


def test_parameters_lie_in_the_space(tmp_path):
    space = {
        "a": Range(choices=["x", True, 2]),
        "b": Range(low=2.0, high=2.0),
        "c": Range(low=1.0, high=9.0, step=4.0, integer=True),
        "d": Range(low=1.0, high=64.0, integer=True, log=True),
    }
    with open_study(tmp_path, space=space) as study:
        for trial in run(study, 25):
            assert set(trial.params) == set(space)
            assert trial.params["a"] in ("x", True, 2)
            assert trial.params["b"] == 2.0
            assert trial.params["c"] in (1, 5, 9)
            assert 1 <= trial.params["d"] <= 64
            assert isinstance(trial.params["d"], int)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_finite_space_is_tried_once_each_and_then_there_is_nothing_left(tmp_path, sampler):
    space = {"a": Range(choices=[1, 2, 4, 8]), "b": Range(choices=[1, 2, 3])}
    seen = []
    for _ in range(2):
        with open_study(tmp_path, space=space, sampler=sampler) as study:
            while len(seen) != 7 and (trial := study.ask()) is not None:
                study.tell(ended(trial, trial.params["a"] / 10))
                seen.append(tuple(trial.params.values()))
            if len(seen) == 7:
                seen.append(tuple(study.ask().params.values()))  # lost, and tried again
    seen.remove(seen[7])
    assert sorted(seen) == [(a, b) for a in (1, 2, 4, 8) for b in (1, 2, 3)]


def test_the_best_is_the_best_within_the_budget_then_the_smallest_then_the_first(tmp_path):
    values = [(0.9, 101), (0.8, 100), (0.7, 10), (0.8, 90), (0.8, 90)]
    with open_study(tmp_path) as study:
        study.prepare({})
        assert study.best() is None
        for value, size in values:
            run(study, 1, lambda t, v=value: v, lambda t, s=size: s)
        best = study.best()
        assert (best.trial.number, best.value, best.costs) == (3, 0.8, {"parameter_bytes": 90})
    with open_study(tmp_path) as again:
        assert again.best() == best
        assert [(o.value, o.costs["parameter_bytes"]) for o in again.outcomes()] == values


def test_a_value_that_is_no_number_is_never_the_best(tmp_path):
    with open_study(tmp_path) as study:
        run(study, 1, lambda t: math.nan)
        assert study.best() is None
        assert [o.state for o in study.outcomes()] == ["failed"]
        run(study, 1, lambda t: 0.1)
        assert study.best().value == 0.1


def test_failed_and_pruned_trials_count_but_those_over_the_budget_do_not(tmp_path):
    states = ["failed", "pruned", "over", "complete"]
    with open_study(tmp_path) as study:
        study.prepare({})
        trials = [study.ask() for _ in states]
        for trial, state in zip(trials, states, strict=True):
            study.tell(ended(trial, size=200 if state == "over" else 50, state=state))
    with open_study(tmp_path) as study:
        study.prepare({})
        assert study.counted == 3
        assert [o.state for o in study.outcomes()] == states
        keys = {t.key for t in run(study, 5)}
        assert not keys & {t.key for t in trials}


def test_a_hopeless_curve_is_ended_but_never_that_of_an_anchor(tmp_path):
    def curve(study, trial, height):
        return [study.report(trial, step, height) for step in range(1, 5)]

    with open_study(tmp_path) as study:
        study.prepare({name: {**p, "quant.strength": 2.0} for name, p in ANCHORS.items()})
        for _ in range(6):
            trial = study.ask()
            assert not any(curve(study, trial, 0.9))
            study.tell(ended(trial))
        bad, good = study.ask(), study.ask()
        assert curve(study, bad, 0.1) == [False, True, True, True]
        assert not any(curve(study, good, 0.95))
        study.tell(ended(bad, state="pruned"))
    with open_study(tmp_path / "unpruned", prune=False) as study:
        assert not any(curve(study, study.ask(), 0.1))
    with open_study(tmp_path / "anchors") as study:
        study.prepare(ANCHORS)
        run(study, 1)
        anchor = study.ask()
        assert anchor.anchor
        assert not any(curve(study, anchor, 0.0))


def test_two_objectives_have_a_front(tmp_path):
    with open_study(tmp_path, objective="pareto", budget=BudgetConfig(), sampler="tpe") as study:
        study.prepare(ANCHORS)
        size = lambda t: 10 * t.params["bits/conv"] + t.params["bits/head"]  # noqa: E731
        run(study, 20, lambda t: 1 - 1 / size(t), size)
        front = study.front()
        assert [o.value for o in front] == sorted(o.value for o in front)
        assert {"1 bit", "8 bit"} <= {o.trial.anchor for o in front}


@pytest.mark.parametrize("objective", ["accuracy", "pareto"])
def test_what_decides_the_value_is_the_most_important(tmp_path, objective):
    with open_study(tmp_path, objective=objective) as study:
        run(study, 3)
        assert study.importances() == {}
        run(study, 40, lambda t: t.params["bits/conv"] / 10)
        shares = study.importances()
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.get) == "bits/conv"


KILLED = """
import os, sys, signal
from pathlib import Path
from tests.search.test_study import ANCHORS, open_study, run
with open_study(Path(sys.argv[1])) as study:
    study.prepare(ANCHORS)
    run(study, 1)
    print([study.ask() for _ in range(2)][0].number, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_trials_running_at_a_kill_are_asked_again_and_do_not_count(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n"), done.stderr
    with open_study(tmp_path) as study:
        study.prepare(ANCHORS)
        assert study.counted == 1
        trials = run(study, 5)
        assert study.counted == 6
    assert "8 bit" in [t.anchor for t in trials[:2]]  # it was running, and is still an anchor
    assert len({t.key for t in trials}) == 5


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_resumed_sampler_does_not_repeat_itself(tmp_path, sampler):
    seen = []
    for _ in range(4):
        with open_study(tmp_path, sampler=sampler) as study:
            seen += [t.params["quant.strength"] for t in run(study, 3, lambda t: t.params["quant.strength"] / 10)]
    assert len(set(seen)) == len(seen)


def test_the_same_seed_proposes_the_same(tmp_path):
    proposed = []
    for name in "ab":
        with open_study(tmp_path / name) as study:
            proposed.append([t.params for t in run(study, 5)])
    assert proposed[0] == proposed[1]


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_journal_whose_last_line_is_cut_goes_on(tmp_path, cut):
    with open_study(tmp_path) as study:
        study.prepare({})
        run(study, 3)
    journal = tmp_path / "optuna.journal"
    content = journal.read_bytes()
    journal.write_bytes(content[:-cut])
    for expected in (2, 4):  # the trial whose end was lost is run again
        with open_study(tmp_path) as study:
            study.prepare({})
            assert study.counted == expected
            run(study, 2)
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_the_lock_that_a_killed_writer_left_does_not_hold_up_the_next(tmp_path):
    with open_study(tmp_path) as study:
        study.prepare({})
    (tmp_path / "optuna.journal.lock").symlink_to(tmp_path / "optuna.journal")
    start = time.monotonic()
    with open_study(tmp_path) as study:
        run(study, 1)
    assert time.monotonic() - start < 5


def test_another_space_or_other_settings_are_refused_by_key(tmp_path):
    with open_study(tmp_path):
        pass
    changed = {**SETTINGS, "seed": 1, "policy": {"*": "odd3"}, "new": True}
    space = {**SPACE, "bits/head": Range(choices=[1, 2])}
    with pytest.raises(ConfigError) as caught, open_study(tmp_path, settings=changed, space=space):
        pass
    message = str(caught.value)
    assert "seed: 0 → 1" in message
    assert "policy.*: odd2 → odd3" in message
    assert "space.bits/head.choices: [1, 2, 4, 8] → [1, 2]" in message
    assert "new: None → True" in message
    assert "data.name" not in message
    with open_study(tmp_path):
        pass


def test_a_journal_belongs_to_one_process(tmp_path):
    with open_study(tmp_path), pytest.raises(BitqError, match="in use by another process"), open_study(tmp_path):
        pass


def test_the_time_of_the_study_per_trial_is_small(tmp_path):
    with open_study(tmp_path, sampler="tpe") as study:
        study.prepare(ANCHORS)
        start = time.process_time()
        for i in range(40):
            trial = study.ask()
            for step in range(8):
                study.report(trial, step, 0.9)
            study.tell(ended(trial, i / 40))
        assert (time.process_time() - start) / 40 < 0.15


def size(params):
    return 10 * params["bits/conv"] + params["bits/head"]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_only_what_fits_is_proposed_and_all_of_it(tmp_path, sampler):
    space = {name: SPACE[name] for name in ("bits/conv", "bits/head")}
    anchors = {f"{b} bit": dict.fromkeys(space, b) for b in (8, 1)}
    with opened(tmp_path, config(sampler=sampler), space, {}, lambda params: size(params) <= 23) as study:
        study.prepare(anchors)
        trials = [t for t in iter(study.ask, None) if study.tell(ended(t, t.params["bits/head"] / 10)) is None]
        assert study.exhausted
    assert [t.number for t in trials] == list(range(6))
    assert trials[0].anchor == "1 bit"
    assert {tuple(t.params.values()) for t in trials} == {(1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (2, 2)}
    with opened(tmp_path / "none", config(sampler=sampler), space, {}, lambda params: False) as study:
        assert study.exhausted


def test_what_the_sampler_gives_where_another_host_took_the_proposal_fits_too(tmp_path, monkeypatch):
    space = {name: SPACE[name] for name in ("bits/conv", "bits/head")}
    with opened(tmp_path, config(sampler="random"), space, {}, lambda params: size(params) <= 14) as study:
        queue = study._study.enqueue_trial
        taken = iter([True] * 3)
        monkeypatch.setattr(study._study, "enqueue_trial", lambda params: next(taken, False) or queue(params))
        assert [size(study.ask().params) <= 14 for _ in range(3)] == [True] * 3


def test_a_sampler_that_learns_stays_within_a_tight_budget(tmp_path):
    """Three in sixteen pairs of bits fits; every one that is asked for does, and the numbers have no gaps."""
    fits = lambda params: size(params) <= 14  # noqa: E731
    with opened(tmp_path, config(sampler="tpe"), SPACE, {}, fits) as study:
        study.prepare(ANCHORS)
        trials = run(study, 30, lambda t: t.params["bits/head"] / 10)
    assert [t.number for t in trials] == list(range(30))
    assert all(fits(t.params) for t in trials)
