"""Regression and anomaly detection from the command line to C."""

import json
from pathlib import Path

import numpy as np
import pytest

from bitq.config import compose
from bitq.core.errors import ConfigError
from bitq.rehearsal import check_variants
from tests.data_sets import saved, spirals, waves

FEW = ("+experiment=arrays", "repeats=2", "train.epochs=20", "track=none", "target.samples=200", "~variants.hybrid")


def manifest(variant):
    return json.loads((Path(variant["deploy"]) / "manifest.json").read_text())


def test_a_regression_ends_with_scores_in_the_units_of_its_targets(bitq):
    data = spirals()
    ran = bitq.run(*FEW, saved(bitq.folder, data), "data.task=regression", "data.duplicates=allow")
    assert ran.code == 0, ran.err
    assert "mae (mean absolute error) as mean" in ran.out
    lazy = np.abs(data.test.y - data.train.y.mean(axis=0)).mean()
    for name, variant in ran.result["variants"].items():
        assert variant["metric"]["name"] == "mae"
        assert variant["metric"]["mean"] < (0.3 if name != "binary" else 0.7) * lazy
        if name != "float":
            assert variant["targets"]["cortex-m0plus"]["mismatches"] == variant["host_mismatches"] == 0
            per_seed = variant["metric_validation"]["per_seed"]
            assert per_seed[ran.result["seeds"].index(variant["deployed_seed"])] == min(per_seed)
            assert manifest(variant)["classes"] == []
            assert (Path(variant["deploy"]).parent / "figures/targets.png").is_file()
            with np.load(Path(variant["deploy"]) / "vectors.npz") as vectors:
                assert (vectors["label"] == -1).all()


def test_a_search_that_compares_shares_refuses_an_error():
    config = compose(["experiment=arrays", "data.path=some.npz", "data.task=regression", "search=lambda_bits"])
    with pytest.raises(ConfigError, match="mae is an error in units"):
        check_variants(config, spirals())


def test_an_autoencoder_gives_its_error_as_the_score(bitq):
    ran = bitq.run(*FEW, saved(bitq.folder, waves()), "data.task=anomaly", "model.hidden=[16,4,16]")
    assert ran.code == 0, ran.err
    for name, variant in ran.result["variants"].items():
        assert variant["metric"]["name"] == "auc"
        assert variant["metric"]["mean"] > (0.85 if name != "binary" else 0.6)
        if name != "float":
            assert variant["targets"]["cortex-m0plus"]["mismatches"] == variant["host_mismatches"] == 0
            assert (Path(variant["deploy"]).parent / "figures/scores.png").is_file()
            (output,) = manifest(variant)["outputs"]
            assert (output["name"], output["length"]) == ("error", 1)
    assert (
        pytest.approx(ran.result["variants"]["float"]["metric"]["mean"], abs=0.05)
        == (ran.result["variants"]["int8"]["metric"]["mean"])
    )
