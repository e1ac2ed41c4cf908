"""Trees in place of a network, from the command line to verified firmware."""

import json
from pathlib import Path

import numpy as np
import pytest

from bitq.device.host import HostModel


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


def test_ones_own_arrays(bitq):
    rng = np.random.default_rng(0)
    x = rng.integers(-100, 100, (300, 12), dtype=np.int16)
    path = bitq.folder / "mine.npz"
    np.savez(path, x=x, y=np.where(x[:, 3] + x[:, 7] > 0, "up", "down"))
    ran = bitq.run("+experiment=arrays", f"data.path={path}", "model=forest", "model.kinds=[tree]", "track=none")
    assert ran.code == 0, ran.err
    assert ran.result["variants"]["tree"]["metric"]["min"] > 0.7
