import json
import signal
import subprocess
import sys
import time

import pytest

from bitq.core.errors import BitqError, ConfigError
from bitq.search.config import SearchConfig, StrengthSpace
from bitq.search.study import Outcome, opened

MATRICES = ["conv.weight", "fc.weight", "head.weight"]
SETTINGS = {"seed": 0, "data": {"name": "digits"}, "search": {"bits": [1, 2, 4, 8]}}
ANCHORS = 5


def open_study(folder, config=None, settings=SETTINGS, budget=100):
    return opened(folder, config or SearchConfig(sampler="random"), MATRICES, budget, settings)


def run(study, count, value=lambda c: 0.5, size=lambda c: 50):
    choices = []
    for _ in range(count):
        choice = study.ask()
        study.tell(Outcome(choice, value(choice), size(choice)))
        choices.append(choice)
    return choices


def tried(choice):
    return (choice.strength, *choice.bits.values())


def test_a_new_study_first_tries_the_obvious(tmp_path):
    with open_study(tmp_path) as study:
        study.prepare(1.0)
        choices = run(study, ANCHORS)
    assert {tuple(c.bits.values()) for c in choices} == {(1, 1, 1), (8, 8, 8), (8, 1, 1), (1, 1, 8), (8, 1, 8)}
    assert {c.strength for c in choices} == {1.0}


@pytest.mark.parametrize(("strength", "within"), [(0.001, 0.1), (1e5, 10.0)])
def test_the_first_strength_lies_in_the_space(tmp_path, strength, within):
    with open_study(tmp_path) as study:
        study.prepare(strength)
        assert study.ask().strength == within


def test_choices_lie_in_the_space(tmp_path):
    config = SearchConfig(sampler="random", bits=[1, 4], strength=StrengthSpace(2.0, 2.0))
    with open_study(tmp_path, config) as study:
        study.prepare(1.0)
        for choice in run(study, 12):
            assert choice.strength == 2.0
            assert set(choice.bits) == set(MATRICES)
            assert set(choice.bits.values()) <= {1, 4}


def test_the_best_is_the_best_within_the_budget_then_the_smallest_then_the_first(tmp_path):
    values = [(0.9, 101), (0.8, 100), (0.7, 10), (0.8, 90), (0.8, 90)]
    with open_study(tmp_path) as study:
        study.prepare(1.0)
        assert study.best() is None
        for value, size in values:
            run(study, 1, lambda c, v=value: v, lambda c, s=size: s)
        best = study.best()
        assert (best.choice.number, best.value, best.parameter_bytes) == (3, 0.8, 90)
    with open_study(tmp_path) as again:
        assert again.best() == best
        assert [(o.value, o.parameter_bytes) for o in again.outcomes()] == values


@pytest.mark.filterwarnings("ignore:The value nan")
def test_a_value_that_is_no_number_is_never_the_best(tmp_path):
    with open_study(tmp_path) as study:
        run(study, 1, lambda c: float("nan"))
        assert study.best() is None
        run(study, 1, lambda c: 0.1)
        assert study.best().value == 0.1


def test_a_failed_trial_counts_and_is_not_repeated(tmp_path):
    with open_study(tmp_path) as study:
        study.prepare(1.0)
        failed = study.ask()
        study.tell_failed(failed, "diverged")
        run(study, 2)
        assert study.finished == 3
    with open_study(tmp_path) as study:
        study.prepare(1.0)
        assert study.finished == 3
        assert tried(failed) not in [tried(c) for c in run(study, 3)]


KILLED = """
import os, sys, signal
from pathlib import Path
from tests.search.test_study import open_study, run
with open_study(Path(sys.argv[1])) as study:
    study.prepare(1.0)
    run(study, 2)
    print([study.ask() for _ in range(2)][0].number, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_trials_running_at_a_kill_are_asked_again_and_do_not_count(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "2\n"), done.stderr
    with open_study(tmp_path) as study:
        study.prepare(1.0)
        assert study.finished == 2
        choices = run(study, 6)
        assert study.finished == 8
    anchors = {(8, 8, 8), (8, 1, 1), (1, 1, 8), (8, 1, 8), (1, 1, 1)}
    # Two of the five were done, one waited, two were running: those three come now, once each, and then new ones.
    assert len({tried(c) for c in choices}) == 6
    assert len(anchors & {tuple(c.bits.values()) for c in choices[:3]}) == 3


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_resumed_sampler_does_not_repeat_itself(tmp_path, sampler):
    seen = []
    for _ in range(4):
        with open_study(tmp_path, SearchConfig(sampler=sampler)) as study:
            seen += [tried(c) for c in run(study, 3, lambda c: c.strength / 10)]
    assert len(set(seen)) == len(seen)


def test_numbers_are_gapless(tmp_path):
    numbers = []
    for _ in range(3):
        with open_study(tmp_path) as study:
            study.prepare(1.0)
            numbers += [c.number for c in run(study, 3)]
    assert numbers == list(range(9))


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_journal_whose_last_line_is_cut_goes_on(tmp_path, cut):
    with open_study(tmp_path) as study:
        study.prepare(1.0)
        run(study, 3)
    journal = tmp_path / "optuna.journal"
    content = journal.read_bytes()
    journal.write_bytes(content[:-cut])
    for expected in (2, 4):  # the trial whose end was lost is run again
        with open_study(tmp_path) as study:
            study.prepare(1.0)
            assert study.finished == expected
            run(study, 2)
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_the_lock_that_a_killed_writer_left_does_not_hold_up_the_next(tmp_path):
    with open_study(tmp_path) as study:
        study.prepare(1.0)
    (tmp_path / "optuna.journal.lock").symlink_to(tmp_path / "optuna.journal")
    start = time.monotonic()
    with open_study(tmp_path) as study:
        run(study, 1)
    assert time.monotonic() - start < 5


def test_other_settings_are_refused_by_key(tmp_path):
    with open_study(tmp_path):
        pass
    changed = {**SETTINGS, "seed": 1, "search": {"bits": [1, 2]}, "new": True}
    with pytest.raises(ConfigError) as caught, open_study(tmp_path, settings=changed):
        pass
    message = str(caught.value)
    assert "seed: 0 → 1" in message
    assert "search.bits: [1, 2, 4, 8] → [1, 2]" in message
    assert "new: None → True" in message
    assert "data.name" not in message
    with open_study(tmp_path):
        pass


def test_a_study_belongs_to_one_process(tmp_path):
    with open_study(tmp_path), pytest.raises(BitqError, match="in use by another process"), open_study(tmp_path):
        pass
