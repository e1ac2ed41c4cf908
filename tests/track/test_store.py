import sqlite3
import subprocess
import sys
import time

import pytest

from bitq.core.errors import BitqError
from bitq.track import store

BEGIN = """
import sys, time
from bitq.track.client import MlflowTracker
from bitq.track.config import MlflowConfig
time.sleep(max(0.0, float(sys.argv[3]) - time.time()))
tracker = MlflowTracker(MlflowConfig(folder=sys.argv[1]))
with tracker.study("together", sys.argv[2], command="test", config_yaml="a: 1", fingerprint="f") as study:
    for number in range(3):
        study.trial(number, {"bits": number}, number / 10, "complete")
    study.finish("finished")
"""


@pytest.mark.long
def test_four_processes_on_an_empty_folder_all_succeed(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "mlruns"
    command = [sys.executable, "-c", BEGIN, str(folder)]
    start = str(time.time() + 3)
    running = [
        subprocess.Popen([*command, f"s{number}", start], stderr=subprocess.PIPE, text=True) for number in range(4)
    ]
    errors = [process.communicate(timeout=200)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0], errors
    assert not any("Traceback" in text or "INFO" in text for text in errors)
    with sqlite3.connect(store.database(folder)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        trials = "SELECT count(*) FROM tags WHERE key = 'bitq.kind' AND value = 'trial'"
        assert connection.execute(trials).fetchone() == (12,)
        assert connection.execute("SELECT count(*) FROM experiments WHERE name = 'together'").fetchone() == (1,)
    left = {path.name for path in folder.iterdir()}
    assert left == {"mlflow.db", "artifacts", "locks"}


def test_artifacts_are_found_after_the_project_has_moved(folder, begin, tmp_path):
    with begin() as study:
        study.finish("finished")
    moved = tmp_path / "new home ü" / "mlruns"
    moved.parent.mkdir()
    folder.rename(moved)
    client = store.open_client(moved)
    experiment = client.get_experiment_by_name("exp")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.artifact_uri.startswith(moved.as_uri())
    assert store.Path(client.download_artifacts(run.info.run_id, "config.yaml")).read_text() == "x: 1\n"


def test_the_users_own_address_is_honoured_and_its_password_kept_back(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://me:secret@host/db")
    with pytest.raises(BitqError, match="MLflow at nonsense://host/db") as caught:
        store.open_client(tmp_path / "mlruns")
    assert "secret" not in str(caught.value)


def test_a_damaged_database_is_refused_in_one_message(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(BitqError, match="file is not a database"):
        store.open_client(tmp_path)


def test_a_deleted_experiment_is_restored(folder, begin):
    with begin() as study:
        study.finish("finished")
    client = store.open_client(folder)
    client.delete_experiment(client.get_experiment_by_name("exp").experiment_id)
    with begin("second") as study:
        study.finish("finished")
    assert client.get_experiment_by_name("exp").lifecycle_stage == "active"
