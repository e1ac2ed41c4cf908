"""A whole search whose trials cost nothing: for tests of everything around the training."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

from bitq import sweep
from bitq.config import compose
from bitq.data.load import load
from bitq.search.outcome import Outcome
from bitq.search.study import opened
from bitq.space import anchors, expand, search_of, settings_of
from bitq.track.tracker import Study
from bitq.trial import TrialJob

MATRICES = ["fc1.weight", "head.weight"]


def trial(data, job: TrialJob) -> Outcome:
    """Return a made-up outcome; kill the worker at a trial whose number is the name of a file in $DEADLY."""
    deadly = Path(os.environ.get("DEADLY", "/nowhere")) / str(job.trial.number)
    if deadly.exists():
        deadly.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.005)
    value = 1 / (1 + float(job.trial.params["quant.strength"]))
    return Outcome(job.trial, "complete", (value,), value, {"parameter_bytes": 100.0})


def search(folder, monkeypatch, *overrides):
    """Run a search over `trial` and return its outcomes."""
    monkeypatch.setattr(sweep, "run_trial", trial)
    config = compose(["experiment=digits", "search=lambda_bits", "search.sampler=random", *overrides])
    chosen = replace(search_of(config), budget=replace(search_of(config).budget, parameter_bytes=10**6))
    config = replace(config, search=chosen)
    space = expand(config, MATRICES)
    with opened(folder, chosen, space, settings_of(config)) as study:
        study.prepare(anchors(config, space))
        sweep._run_trials(config, load(config.data), folder, study, Study(), [])
        return study.outcomes()
