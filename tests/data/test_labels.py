"""The tasks of anybody's arrays: real targets, and normal rows with a few that are not."""

import numpy as np
import pytest

from bitq.core.errors import ConfigError, DataError
from bitq.data.config import ArraysConfig
from bitq.data.load import load

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (100, 5))
KIND = np.where(np.arange(100) % 4 == 0, "worn", "ok")


def make(tmp_path, task, arrays, **options):
    np.savez(tmp_path / "data.npz", **arrays)
    return load(ArraysConfig(path=str(tmp_path / "data.npz"), task=task, **options))


@pytest.mark.parametrize("targets", [(), (1,), (3,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("grouped", [False, True])
def test_targets_stay_as_they_are_beside_their_rows(tmp_path, targets, dtype, grouped):
    y = (RNG.normal(0, 50, (100, *targets)) + 100).astype(dtype)
    groups = {"group": np.arange(100) // 5} if grouped else {}
    x = np.tile(np.arange(100)[:, None], (1, 2)).astype(np.int8)
    data = make(tmp_path, "regression", {"x": x, "y": y, **groups})
    assert (data.metric, data.classes, data.outputs) == ("mae", (), *(targets or (1,)))
    for split in (data.train, data.val, data.test):
        assert split.y.dtype == np.float32
        assert np.array_equal(split.y, y.reshape(100, -1).astype(np.float32)[split.x[:, 0]])
    assert sum(data.counts.values()) == 100
    assert data.target_mean == pytest.approx(data.train.y.mean(axis=0), rel=1e-5)
    if grouped:
        sides = [set(split.x[:, 0] // 5) for split in (data.train, data.val, data.test)]
        assert sum(map(len, sides)) == len(set.union(*sides))


def test_a_target_that_does_not_vary_is_no_division_by_zero(tmp_path):
    data = make(tmp_path, "regression", {"x": X, "y": np.full(100, 7.0)})
    assert data.target_std.tolist() == [1.0]


def test_an_autoencoder_learns_normal_rows_and_is_judged_on_both(tmp_path):
    data = make(tmp_path, "anomaly", {"x": X, "y": KIND}, normal="ok")
    assert (data.metric, data.classes, data.outputs) == ("auc", ("normal", "anomaly"), 5)
    assert [np.bincount(split.y).tolist() for split in (data.train, data.val, data.test)] == [[45], [15, 5], [15, 5]]
    assert any("15 anomalies of the training part" in note for note in data.notes)


def test_normal_rows_alone_in_a_training_split_of_ones_own(tmp_path):
    parts = {"train": KIND == "ok", "val": np.arange(100) < 50, "test": np.arange(100) >= 50}
    arrays = {f"{k}_{name}": v[rows] for name, rows in parts.items() for k, v in (("x", X), ("y", KIND))}
    data = make(tmp_path, "anomaly", arrays, normal="ok", duplicates="allow")
    assert data.counts == {"train": 75, "val": 50, "test": 50}
    del arrays["x_val"], arrays["y_val"]
    with pytest.raises(DataError, match="all 75 rows are of class 'normal'"):
        make(tmp_path, "anomaly", arrays, normal="ok")


@pytest.mark.parametrize(
    ("task", "y", "says"),
    [
        ("regression", KIND, r"'y' is <U4 .*expected numbers, \(100,\) or \(100, targets\)"),
        ("regression", np.zeros((100, 2, 2)), "expected numbers"),
        ("regression", np.zeros((100, 0)), "expected numbers"),
        ("regression", np.where(np.arange(100) == 7, np.nan, 1.0), "NaN or infinity, first in row 7"),
        ("anomaly", KIND, r"normal is '0'; 'y' holds ok, worn. Correct data.normal"),
        ("anomaly", np.zeros(100, int), "normal rows and others are needed"),
        ("classification", np.zeros(100), "expected integers or text"),
    ],
)
def test_labels_of_another_task_are_refused(tmp_path, task, y, says):
    with pytest.raises(DataError, match=says):
        make(tmp_path, task, {"x": X, "y": y})


def test_a_metric_of_another_task_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.metric: 'accuracy' is none of regression; use mae"):
        make(tmp_path, "regression", {"x": X, "y": X[:, 0]}, metric="accuracy")
