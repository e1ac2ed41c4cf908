"""The main path from the command line: what it prints, what it leaves, how it ends."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from bitq.device.host import HostModel

VARIANTS = {"float": "float", "int8": "int8", "binary": "binary", "hybrid": "hybrid"}


@pytest.fixture(scope="module")
def digits(bitq_shared):
    return bitq_shared.run("+experiment=digits", "debug=smoke", "repeats=2", "train.epochs=6")


def test_it_ends_with_the_table_and_the_path_of_the_result(digits):
    assert digits.code == 0, digits.err
    assert digits.err == ""
    assert "\x1b" not in digits.out
    for name in VARIANTS:
        row = next(line for line in digits.out.splitlines() if line.startswith(f"{name} "))
        assert row.endswith("n/a" if name == "float" else "yes")
    assert digits.out.strip().splitlines()[-1].endswith("result.json")


def test_the_result_keeps_its_contract(digits):
    result = digits.result
    assert result["schema_version"] == 1
    assert result["status"] == "finished"
    assert result["experiment"] == "digits"
    assert result["command"].startswith("python -m bitq.run +experiment=digits")
    assert result["seeds"] == [0, 1]
    assert result["data"]["source"] == "builtin"
    assert set(result["data"]["counts"]) == {"train", "val", "test"}
    assert len(result["data"]["digest"]) == len(result["fingerprint"]) == 64
    assert {name: v["kind"] for name, v in result["variants"].items()} == VARIANTS
    for name, variant in result["variants"].items():
        metric = variant["metric"]
        assert metric["name"] == "accuracy"
        assert len(metric["per_seed"]) == 2
        assert metric["mean"] == pytest.approx(np.mean(metric["per_seed"]))
        assert metric["std"] == pytest.approx(np.std(metric["per_seed"], ddof=1))
        assert metric["min"] == min(metric["per_seed"])
        assert 0.5 < metric["min"] <= 1
        if name == "float":
            assert variant["targets"] == {}
            continue
        target = variant["targets"]["cortex-m0plus"]
        assert target["mismatches"] == 0
        assert target["samples_checked"] >= 1000
        assert 0 < variant["parameter_bytes"] < target["flash_bytes"] < target["flash_image_bytes"]
        assert target["instructions"] > 1000
        assert target["ram_bytes"] >= target["stack_bytes"] > 0
    for name in ("binary", "hybrid"):
        assert result["variants"][name]["convergence"] == {"within_1pct": 1.0, "flips_last_tenth": 0.0}


def test_freezing_leaves_nothing_to_lose_in_rounding(digits):
    for name in ("binary", "hybrid"):
        variant = digits.result["variants"][name]
        rounded, trained = variant["metric"]["per_seed"], variant["metric_before_rounding"]["per_seed"]
        # What differs is the 8-bit activations: two of 360 images at most.
        assert np.abs(np.subtract(rounded, trained)).max() <= 2 / 360


def test_the_deployed_seed_is_the_best_on_validation_and_its_folder_stands_alone(digits):
    variant = digits.result["variants"]["binary"]
    assert variant["deployed_seed"] in (0, 1)
    folder = Path(variant["deploy"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["name"] == "digits_binary"
    assert manifest["entry"]["symbol"] == "digits_binary_run"
    assert manifest["classes"] == [str(digit) for digit in range(10)]
    with np.load(folder / "vectors.npz") as vectors:
        assert len(vectors["input"]) >= 1000
        predicted = HostModel(folder).predict(vectors["input"])
        assert (predicted.scores == vectors["scores"]).all()
        assert (predicted.winners == vectors["winner"]).all()
        real = vectors["label"] >= 0
        assert (predicted.winners[real] == vectors["label"][real]).mean() > 0.5


def test_the_tracked_run_has_curves_config_and_c(digits, bitq_shared):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{bitq_shared.folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id])
    kinds = [run.data.tags["bitq.kind"] for run in runs]
    assert sorted(kinds) == sorted(["study"] + ["config"] * 4 + ["repeat"] * 8)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["bitq.study"] for run in runs}) == 1
    of_binary = [run for run in runs if run.data.tags.get("bitq.variant") == "binary"]
    binary = next(run for run in of_binary if run.data.tags["bitq.kind"] == "config")
    listed = {a.path for a in client.list_artifacts(binary.info.run_id, "c")}
    assert "c/model.c.txt" in listed
    repeat = next(run for run in of_binary if run.data.tags["bitq.kind"] == "repeat")
    assert len(client.get_metric_history(repeat.info.run_id, "val/accuracy")) == 6


def test_it_says_when_the_wrist_is_simulated(bitq):
    ran = bitq.run("+experiment=face2wake", "debug=smoke", "data.subjects=6", "track=none")
    assert ran.code == 0, ran.err
    assert ran.result["data"]["source"] == "simulated"
    assert "SIMULATED" in ran.out
    assert ran.result["variants"]["binary"]["targets"]["cortex-m0plus"]["flash_image_bytes"] <= 5000


def test_a_missed_budget_fails_after_everything_is_written(bitq):
    ran = bitq.run("+experiment=digits", "debug=smoke", "track=none", "target.flash_bytes=1000")
    assert ran.code == 5
    assert "flash_bytes" in ran.err
    assert "allowed 1,000" in ran.err
    assert ran.result["status"] == "failed"


def test_missing_data_ends_before_any_training(bitq):
    ran = bitq.run("+experiment=mnist", "track=none")
    assert ran.code == 3
    assert "python -m bitq.data get mnist" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly(bitq, number, code):
    process = bitq.start("+experiment=digits", "train.epochs=2000", "track=none")
    assert any("training:" in line for line in process.stdout)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    assert _results(bitq)[0]["status"] == "interrupted"


def test_a_killed_run_is_found_by_the_next_one(bitq):
    process = bitq.start("+experiment=digits", "train.epochs=2000")
    assert any("training:" in line for line in process.stdout)
    process.kill()
    process.wait()
    assert _results(bitq)[0]["status"] == "running"
    ran = bitq.run("+experiment=digits", "dry_run=true")
    assert ran.code == 0
    assert "found dead" in ran.out
    assert sorted(r["status"] for r in _results(bitq)) == ["finished", "interrupted"]


def test_a_plugin_brings_its_own_network(bitq):
    example = Path(__file__).parents[2] / "examples" / "my_model.py"
    ran = bitq.run(f"plugin={example}", "model=mine", "model.width=4", "debug=smoke", "train.epochs=3", "track=none")
    assert ran.code == 0, ran.err
    assert ran.result["variants"]["binary"]["bits"] == {"conv.weight": 1, "head.weight": 1}


def test_a_float_checkpoint_is_rounded_without_training(bitq):
    few = ("+experiment=digits", "debug=smoke", "track=none", "~variants.binary", "~variants.hybrid")
    first = bitq.run(*few, "seed=3")
    assert first.code == 0, first.err
    weights = next((bitq.folder / "outputs").rglob("float/seed-3.safetensors"))
    ran = bitq.run(*few, f"train.init={weights}", "train.epochs=0")
    assert ran.code == 0, ran.err
    for name, variant in ran.result["variants"].items():
        assert variant["metric"] == first.result["variants"][name]["metric"]
    other = bitq.run(*few, f"train.init={weights}", "model.hidden=[9]")
    assert other.code == 2
    assert "train.init: " in other.err
    assert "fc1.weight is (64, 64) in the file and (9, 64) in the network" in other.err


def _results(bitq):
    return [json.loads(path.read_text()) for path in (bitq.folder / "outputs").rglob("result.json")]
