"""Hydra's multirun with the sweeper of bitq: whole runs, chosen one after the other, resumable."""

import json

SWEEP = (
    "-m",
    "hydra/sweeper=bitq",
    "hydra.sweeper.variant=binary",
    "+experiment=digits",
    "debug=smoke",
    "track=none",
    "train.epochs=1",
    "~variants.int8",
    "~variants.hybrid",
    "train.lr=tag(log, interval(0.001, 0.03))",
    "model.hidden=[8],[16]",
)


def test_a_sweep_goes_on_where_it_stopped_and_does_not_mind_a_failed_job(bitq):
    first = bitq.run(*SWEEP, "hydra.sweeper.n_trials=1")
    assert first.code == 0, first.err
    assert "best: trial 0" in first.out
    again = bitq.run(*SWEEP, "hydra.sweeper.n_trials=2")
    assert again.code == 0, again.err
    assert "trial 0 of study" not in again.out
    assert "trial 1 of study" in again.out
    trials = [json.loads(p.read_text()) for p in (bitq.folder / "mlruns/sweeps/digits-sweep/trials").glob("*.json")]
    assert len(trials) == 2
    assert len({tuple(t["overrides"]) for t in trials}) == 2
    assert all(0 < t["value"] <= 1 for t in trials)
    changed = bitq.run(*SWEEP[:-1], "model.hidden=[8],[24]")
    assert changed.code == 2
    assert "space.model.hidden.choices" in changed.err


def test_a_sweep_over_nothing_and_one_whose_every_trial_fails_say_so(bitq):
    nothing = bitq.run(*SWEEP[:4], "dry_run=true")
    assert nothing.code == 2
    assert "nothing varies" in nothing.err
    failed = bitq.run(*SWEEP[:-1], "model.hidden=[0],[5000]", "hydra.sweeper.name=bad")
    assert failed.code == 4
    assert "every trial of" in failed.err
