"""Trees in place of a network, from the command line to verified firmware."""

import json
from pathlib import Path

import numpy as np
import pytest

from bitq.codegen.emit import parameter_bytes
from bitq.config import compose, conf_dir
from bitq.core.errors import ConfigError
from bitq.data.config import TASK_METRICS
from bitq.data.load import load
from bitq.deliver import Delivery, run_delivery
from bitq.device.host import HostModel
from bitq.experiment import Job, run_job
from bitq.rehearsal import check_variants
from bitq.trees.config import KINDS, ForestConfig
from bitq.trees.grow import grow
from tests.data_sets import blobs, saved, spirals, waves, write_mnist


@pytest.fixture(scope="module")
def digits(bitq_shared):
    return bitq_shared.run(
        "+experiment=digits", "model=forest", "model.kinds=[forest,boosting]", "model.budget_bytes=800", "repeats=2"
    )


def test_trees_are_variants_like_any_network(digits):
    assert digits.code == 0, digits.err
    assert digits.err == ""
    result = digits.result
    assert {name: v["kind"] for name, v in result["variants"].items()} == {"forest": "tree", "boosting": "tree"}
    for name, variant in result["variants"].items():
        target = variant["targets"]["cortex-m0plus"]
        assert target["mismatches"] == variant["host_mismatches"] == 0
        assert target["samples_checked"] >= 1000
        assert 0 < variant["parameter_bytes"] <= 800 < target["flash_bytes"] < 1200
        assert variant["metric"]["min"] > 0.7
        assert abs(variant["metric"]["mean"] - variant["metric_before_rounding"]["mean"]) < 0.05
        row = next(line for line in digits.out.splitlines() if line.startswith(f"{name} "))
        assert row.endswith("yes")


def test_the_deploy_folder_of_trees_stands_alone(digits):
    folder = Path(digits.result["variants"]["boosting"]["deploy"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [layer["kind"] for layer in manifest["layers"]] == ["forest", "argmax"]
    assert sum(layer["bytes"] for layer in manifest["layers"]) == manifest["parameter_bytes"]
    with np.load(folder / "vectors.npz") as vectors:
        predicted = HostModel(folder).predict(vectors["input"])
        assert (predicted.scores == vectors["scores"]).all()
        assert (predicted.winners == vectors["winner"]).all()


def test_a_sensor_window_goes_in_as_it_is_and_its_statistics_are_computed_on_the_chip(bitq):
    trees = ("model=forest", "model.kinds=[soft]", "model.features=statistics", "model.max_trees=20")
    ran = bitq.run("+experiment=face2wake", *trees, "debug=smoke", "data.subjects=6", "track=none")
    assert ran.code == 0, ran.err
    variant = ran.result["variants"]["soft"]
    manifest = json.loads((Path(variant["deploy"]) / "manifest.json").read_text())
    assert [layer["kind"] for layer in manifest["layers"]] == ["features", "forest", "argmax"]
    assert variant["metric"]["min"] > 0.6
    assert variant["targets"]["cortex-m0plus"]["mismatches"] == 0


EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
CASES = [(name, task) for name in EXPERIMENTS for task in (TASK_METRICS if name == "arrays" else ("classification",))]
SMALL = ("model=forest", "model.budget_bytes=300", "model.max_depth=3", "model.max_trees=10", "target.samples=100")
FEW = {
    "face2wake": ("data.source=simulated", "data.subjects=5"),
    "mnist": ("data.root=.", "data.files=[]", "data.limit=100"),
}


@pytest.mark.parametrize(("experiment", "task"), CASES)
def test_trees_work_in_every_experiment(experiment, task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = FEW.get(experiment, ())
    if experiment == "mnist":
        write_mnist(tmp_path)
    if experiment == "arrays":
        made = {"classification": blobs, "regression": spirals, "anomaly": waves}[task]()
        few = (saved(tmp_path, made), f"data.task={task}", "data.duplicates=allow")
    config = compose([f"experiment={experiment}", *few, *SMALL])
    data = load(config.data)
    check_variants(config, data)
    assert set(config.variants) == set(KINDS[task])
    for variant in config.variants:
        trained = run_job(data, Job(config, variant, 0, tmp_path))
        assert np.isfinite([trained.validation, trained.test, trained.before]).all()
        made = run_delivery(data, Delivery(variant, trained.graph, tmp_path / variant, config.target))
        assert made.host_mismatches == made.measurement.mismatches == 0
        assert made.parameter_bytes <= 300


@pytest.mark.parametrize("features", ["raw", "statistics"])
def test_the_budget_holds_all_parameters(features):
    for budget in range(100, 120, 5):
        config = ForestConfig(budget_bytes=budget, max_depth=1, features=features, windows=2)
        graph, _ = grow(config, "isolation", waves(), name="waves", seed=0, merit=lambda y, said: 0.0)
        assert budget - 5 < parameter_bytes(graph) <= budget


def test_a_task_that_the_data_alone_tell_is_refused_or_learnt(tmp_path):
    # As a data set of somebody's own may: its config has no field for the task.
    with pytest.raises(ConfigError, match=r"model\.kinds: soft cannot learn a regression; choose from tree, forest"):
        check_variants(compose(["experiment=digits", "model=forest"]), spirals())
    config = compose(["experiment=digits", "model=forest", "model.kinds=[isolation]", "model.max_trees=20"])
    check_variants(config, waves())
    assert run_job(waves(), Job(config, "isolation", 0, tmp_path)).test > 0.6
    with pytest.raises(ConfigError, match=r"isolation cannot learn a classification; choose from tree"):
        check_variants(config, blobs())


def test_the_trees_of_a_regression_give_targets_in_their_units(bitq):
    data = spirals()
    few = ("+experiment=arrays", "data.task=regression", "data.duplicates=allow", "repeats=2", "track=none")
    ran = bitq.run(*few, saved(bitq.folder, data), "model=forest", "model.kinds=[boosting,tree]")
    assert ran.code == 0, ran.err
    lazy = np.abs(data.test.y - data.train.y.mean(axis=0)).mean()
    for variant in ran.result["variants"].values():
        assert variant["metric"]["name"] == "mae"
        assert variant["metric"]["mean"] < 0.1 * lazy
        per_seed = variant["metric_validation"]["per_seed"]
        assert per_seed[ran.result["seeds"].index(variant["deployed_seed"])] == min(per_seed)
        manifest = json.loads((Path(variant["deploy"]) / "manifest.json").read_text())
        scores = HostModel(Path(variant["deploy"])).predict(data.test.x).scores
        said = [(scores[:, o["offset"]] - o["zero_point"]) * o["scale"] for o in manifest["outputs"]]
        assert np.abs(np.stack(said, axis=1) - data.test.y).mean() in map(
            pytest.approx, variant["metric"]["per_seed"]
        )
