"""Four workers and 240 trials, two of the workers killed on the way."""

import time

import pytest

from tests.search import cheap

pytestmark = pytest.mark.long


def test_no_trial_is_lost_or_doubled_when_workers_are_killed(tmp_path, monkeypatch):
    deadly = tmp_path / "deadly"
    deadly.mkdir()
    (deadly / "17").touch()
    (deadly / "101").touch()
    monkeypatch.setenv("DEADLY", str(deadly))
    start = time.process_time()
    outcomes = cheap.search(tmp_path / "study", monkeypatch, "workers=4", "search.n_trials=240")
    per_trial = (time.process_time() - start) / 240
    assert not list(deadly.iterdir())
    assert [o.trial.number for o in outcomes] == list(range(240))
    assert len({o.trial.key for o in outcomes}) == 240
    assert {o.state for o in outcomes} == {"complete"}
    assert per_trial < 0.15
