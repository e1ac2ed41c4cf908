"""One store for all tests, made once (MLflow needs seconds for it); every test works on a copy."""

import shutil

import pytest

from bitq.track import store
from bitq.track.client import MlflowTracker
from bitq.track.config import MlflowConfig
from bitq.track.result import Metric, RunResult, TargetResult, VariantResult


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A database without runs."""
    folder = tmp_path_factory.mktemp("store") / "mlruns"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store.open_client(folder)
    return store.database(folder)


@pytest.fixture
def folder(template, tmp_path, monkeypatch):
    """A tracking folder of the test's own, in the working directory."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "mlruns"
    copy.mkdir()
    shutil.copy(template, copy)
    return copy


@pytest.fixture
def begin(folder):
    """A function that begins a study."""

    def begin(study="s", experiment="exp"):
        tracker = MlflowTracker(MlflowConfig(folder=str(folder)))
        return tracker.study(experiment, study, command="run it", config_yaml="x: 1\n", fingerprint="f00")

    return begin


@pytest.fixture
def deploy(tmp_path):
    """A small deploy folder."""
    path = tmp_path / "deploy"
    path.mkdir()
    (path / "model.c").write_text("int32_t f(void) { return 7; }\n")
    (path / "model.h").write_text("int32_t f(void);\n")
    (path / "manifest.json").write_text("{}\n")
    return path


@pytest.fixture
def variant(deploy):
    """A deployed binary variant over three seeds."""
    target = TargetResult("zig 0.17", "-Os", "unicorn", 1234, 1500, 700, 120, 9800, 1000, 0)
    return VariantResult(
        "binary",
        {"fc1.weight": 1},
        Metric.over("accuracy", [0.95, 0.97, 0.96]),
        Metric.over("accuracy", [0.955, 0.975, 0.965]),
        {"within_1pct": 12.0},
        520,
        1,
        str(deploy),
        500,
        0,
        {"cortex-m0plus": target},
    )


@pytest.fixture
def result(variant):
    """A finished run with a float and a binary variant."""
    metric = Metric.over("accuracy", [0.97, 0.98, 0.99])
    plain = VariantResult("float", {}, metric, metric, {})
    data = {"source": "simulated", "digest": "d", "license": "none", "counts": {}}
    return RunResult(
        "exp", "f00", "run it", "2026-01-01", [0, 1, 2], data, {}, "finished", 1.0,
        {"float": plain, "binary": variant},
    )  # fmt: skip
