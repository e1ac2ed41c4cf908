import json
import shlex
import signal
import sys
from pathlib import Path

import pytest

from bitq.core.errors import BitqError, DataError
from bitq.core.files import locked
from bitq.core.processes import Interrupted
from bitq.record import command_line, recording
from bitq.track.stale import RUN_LOCK
from tests.data_sets import blobs
from tests.test_config import composed


@pytest.fixture(scope="module")
def config():
    return composed()


def told(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def test_the_record_says_running_and_then_finished(tmp_path, config):
    folder = tmp_path / "digits" / "2026-01-02" / "03-04-05-6"
    with recording(folder, config, "seed: 0\n") as run:
        first = told(folder)
        assert (first["status"], first["schema_version"], first["seeds"]) == ("running", 1, [0, 1, 2])
        assert first["fingerprint"] == config.fingerprint()
        assert run.study == "custom-2026-01-02-03-04-05-6"
        run.describe(blobs())
        assert told(folder)["data"]["counts"] == {"train": 240, "val": 60, "test": 60}
        assert len(told(folder)["data"]["digest"]) == 64
    last = told(folder)
    assert (last["status"], last["error"]) == ("finished", "")
    assert last["seconds"] >= 0
    assert {"python", "numpy", "torch", "bitq"} <= set(last["tools"])
    assert (folder / "config.yaml").read_text() == "seed: 0\n"


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (DataError("a.csv:3"), "failed", "a.csv:3"),
        (MemoryError(), "failed", ""),
        (SystemExit(3), "failed", "3"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
        (Interrupted(signal.SIGTERM), "interrupted", "SIGTERM"),
    ],
)
def test_the_record_says_how_a_run_really_ended(tmp_path, config, error, status, says):
    with pytest.raises(type(error)), recording(tmp_path, config, ""):
        raise error
    assert (told(tmp_path)["status"], told(tmp_path)["error"]) == (status, says)


def test_two_runs_do_not_share_a_folder(tmp_path, config):
    with recording(tmp_path, config, ""):
        with (
            pytest.raises(BitqError, match="belongs to a run that is still going on"),
            recording(tmp_path, config, ""),
        ):
            pass
        with locked(tmp_path / RUN_LOCK) as free:
            assert not free
    assert told(tmp_path)["status"] == "finished"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, config):
    (tmp_path / "file").write_text("")
    with pytest.raises(BitqError, match="cannot write"), recording(tmp_path / "file" / "run", config, ""):
        pass


def test_the_command_can_be_typed_again(monkeypatch):
    words = ["/usr/bin/python3", "-m", "bitq.run", "+experiment=digits", "+variants.a={policy: {*: odd2}}"]
    monkeypatch.setattr(sys, "orig_argv", words)
    line = command_line()
    assert line.startswith("python -m bitq.run +experiment=digits ")
    assert shlex.split(line)[1:] == words[1:]
