import json
import os
import signal
import subprocess
import sys

import pytest

from bitq.core import files
from bitq.track import stale, store

WORK = """
import sys, time
from pathlib import Path
from bitq.core import files
from bitq.track.client import MlflowTracker
from bitq.track.config import MlflowConfig
from bitq.track.result import RunResult
run = Path(sys.argv[2])
with files.locked(run / "run.lock") as mine:
    assert mine
    RunResult("e", "f", "c", "now", [0], {}, {}).write(run / "result.json")
    tracker = MlflowTracker(MlflowConfig(folder=sys.argv[1]))
    with tracker.study("exp", "doomed", command="c", config_yaml="", fingerprint="f") as study:
        print("ready", flush=True)
        time.sleep(60)
"""


def statuses(folder):
    client = store.open_client(folder)
    [run] = client.search_runs(
        [e.experiment_id for e in client.search_experiments()], "tags.\"bitq.study\" = 'doomed'"
    )
    return run.info.status, run.data.tags.get("bitq.interrupted")


def test_only_what_was_really_killed_is_swept(folder, tmp_path):
    outputs = tmp_path / "outputs"
    run = outputs / "2026" / "one"
    worker = subprocess.Popen([sys.executable, "-c", WORK, str(folder), str(run)], stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        assert stale.sweep(folder, outputs) == []
        assert statuses(folder) == ("RUNNING", None)
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.communicate()
    assert json.loads((run / "result.json").read_text())["status"] == "running"  # the fault did happen

    lines = stale.sweep(folder, outputs)
    assert len(lines) == 2
    assert "study doomed" in lines[0]
    assert statuses(folder) == ("KILLED", f"found dead at next start (process {worker.pid})")
    result = json.loads((run / "result.json").read_text())
    assert (result["status"], result["error"]) == ("interrupted", stale.FOUND)
    assert result["experiment"] == "e"
    assert stale.sweep(folder, outputs) == []


@pytest.mark.parametrize("status", ["finished", "failed", "pruned"])
def test_results_that_ended_are_left_alone(tmp_path, status):
    path = tmp_path / "a" / "result.json"
    files.write_json(path, {"status": status})
    before = path.stat()
    assert stale.sweep_results(tmp_path) == []
    assert path.stat() == before


def test_a_result_whose_lock_is_held_is_left_alone(tmp_path):
    path = tmp_path / "a" / "result.json"
    files.write_json(path, {"status": "running"})
    with files.locked(path.parent / stale.RUN_LOCK) as mine:
        assert mine
        assert stale.sweep_results(tmp_path) == []
    assert stale.sweep_results(tmp_path) == [path]


def test_damaged_files_stop_nothing(tmp_path):
    for name, content in {"a": b"", "b": b"[1]", "c": b"\xff\xfe", "d": b"{"}.items():
        files.write_bytes(tmp_path / "out" / name / "result.json", content)
        files.write_bytes(tmp_path / "mlruns" / "locks" / f"{name}.lock", content)
    assert stale.sweep(tmp_path / "mlruns", tmp_path / "out") == []
    assert stale.sweep(tmp_path / "nowhere", tmp_path / "nothing") == []


def test_a_clean_start_does_not_load_mlflow(tmp_path):
    code = "import sys; from pathlib import Path; from bitq.track import stale\n"
    code += f"stale.sweep(Path({str(tmp_path)!r}), Path({str(tmp_path)!r})); sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
