"""The search from the command line: it ends with the best assignment exported, and a kill costs no trial."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.integration.conftest import Ran

SEARCH = (
    "+experiment=digits",
    "+search=lambda_bits",
    "search.n_trials=9",
    "search.repeats=2",
    "train.epochs=3",
    "repeats=2",
    "track=none",
)


def until(process, count):
    """Read what a search prints until so many trials have ended."""
    done = 0
    for line in process.stdout:
        done += "search: trial" in line and ": done" in line
        if done == count:
            return
    raise AssertionError(process.stderr.read())


@pytest.fixture(scope="module")
def searched(bitq_shared):
    """A search that was killed, interrupted, and then brought to its end."""
    process = bitq_shared.start(*SEARCH)
    until(process, 3)
    process.kill()
    process.wait()
    process = bitq_shared.start(*SEARCH)
    until(process, 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out, err), bitq_shared.run(*SEARCH)


def outcomes(bitq, study="digits-lambda_bits"):
    return [json.loads(p.read_text()) for p in (bitq.folder / "mlruns/sweeps" / study / "trials").glob("*.json")]


def test_ctrl_c_ends_it_with_the_table_so_far(searched):
    interrupted = searched[0]
    assert interrupted.code == 130
    assert re.search(r"trial +validation % +B +parameters\n +\d+", interrupted.out)
    assert interrupted.err == "bitq: interrupted.\n"


def test_a_killed_search_does_the_rest_and_exports_the_best(searched, bitq_shared):
    ran = searched[1]
    assert ran.code == 0, ran.err
    before = int(re.search(r"(\d+) of 9 trials done", ran.out).group(1))
    assert before >= 5
    assert f"({9 - before} of {9 - before})" in ran.out
    best = ran.result["variants"]["best"]
    assert best["targets"]["cortex-m0plus"]["mismatches"] == 0
    budget = int(re.search(r"budget: ([\d,]+) parameter_bytes", ran.out).group(1).replace(",", ""))
    assert best["parameter_bytes"] <= budget


def test_no_trial_is_lost_or_doubled(searched, bitq_shared):
    trained = [o for o in outcomes(bitq_shared) if o["state"] != "over"]
    assert len(trained) == 9
    assert len({json.dumps(o["trial"]["params"]) for o in trained}) == 9
    assert {len(o["per_seed"]) for o in trained if o["state"] == "complete"} == {2}
    assert {"1 bit", "2 bit"} <= {o["trial"]["anchor"] for o in trained}
    assert any(o["trial"]["anchor"].startswith("knapsack") for o in trained)


def test_a_changed_configuration_is_refused(searched, bitq_shared):
    again = bitq_shared.run(*SEARCH, "train.epochs=4")
    assert again.code == 2
    assert "train.epochs: 3 → 4" in again.err


def test_a_budget_that_nothing_fits_is_refused_before_any_training(bitq):
    ran = bitq.run("+experiment=digits", "+search=bits", "search.budget.parameter_bytes=100", "track=none")
    assert ran.code == 2
    assert re.search(r"no network of the space takes at most 100 bytes; the smallest .* takes [\d,]+\.", ran.err)
    assert "training" not in ran.out


def test_the_figures_of_the_search_are_there(searched):
    figures = Path(searched[1].out.strip().splitlines()[-1]).parent / "figures"
    assert {"pareto.png", "bits.png", "importances.png"} <= {path.name for path in figures.iterdir()}


def test_any_trial_can_be_rebuilt(searched, bitq_shared):
    trial = max((o for o in outcomes(bitq_shared) if o["state"] == "complete"), key=lambda o: o["trial"]["number"])
    number = trial["trial"]["number"]
    ran = bitq_shared.run(f"+from_trial=digits-lambda_bits/{number}", "repeats=1")
    assert ran.code == 0, ran.err
    variants = ran.result["variants"]
    assert list(variants) == ["float", "int8", f"trial_{number}"]
    assert variants[f"trial_{number}"]["parameter_bytes"] == trial["costs"]["parameter_bytes"]
    chosen = {key.removeprefix("bits/"): bits for key, bits in trial["trial"]["params"].items() if "bits/" in key}
    assert variants[f"trial_{number}"]["bits"] == chosen


def test_a_pareto_search_over_widths_delivers_its_front_and_is_tracked(bitq):
    ran = bitq.run(
        "+experiment=digits",
        "+search=width_bits",
        "search.objective=pareto",
        "search.costs=[parameter_bytes,instructions]",
        "search.n_trials=8",
        "search.front=3",
        "search.obvious=true",
        "train.epochs=2",
        "repeats=1",
        "workers=2",
    )
    assert ran.code == 0, ran.err
    by_number = {o["trial"]["number"]: o for o in outcomes(bitq, "digits-width_bits")}
    obvious = {f"trial_{n}" for n, o in by_number.items() if o["trial"]["anchor"] and o["state"] == "complete"}
    again = [name for name in ran.result["variants"] if name.startswith("trial_")]
    assert obvious <= set(again)
    assert len(set(again) - obvious) <= 3
    for name in again:
        result, trial = ran.result["variants"][name], by_number[int(name.removeprefix("trial_"))]
        assert result["parameter_bytes"] == trial["costs"]["parameter_bytes"]
        measured = result["targets"]["cortex-m0plus"]["instructions"]
        assert measured == pytest.approx(trial["costs"]["instructions"], rel=0.12)

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{bitq.folder / 'mlruns' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    kinds = [run.data.tags["bitq.kind"] for run in runs]
    assert kinds.count("study") == 1
    assert kinds.count("trial") == sum(o["state"] != "over" for o in by_number.values())
    summary = next(run for run in runs if run.data.tags["bitq.kind"] == "study")
    figures = {artifact.path for artifact in client.list_artifacts(summary.info.run_id, "figures")}
    assert "figures/pareto.png" in figures
