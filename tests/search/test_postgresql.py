"""Several processes on one study in a real PostgreSQL; skipped, by name, where there is no server program."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bitq.core.errors import ConfigError
from bitq.core.processes import find_tool
from tests.search.test_study import ANCHORS, open_study, run

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'bitq[postgresql]'")
PROGRAMS = {
    name: find_tool(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    for name in ("initdb", "postgres")
}
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(None in PROGRAMS.values(), reason="PostgreSQL is not installed: apt-get install postgresql"),
]


@pytest.fixture(scope="module")
def address():
    user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="bitq-pg-"))
    if user:
        shutil.chown(home, user)
    data = home / "data"
    common = {"user": user, "cwd": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([PROGRAMS["initdb"], "-D", data, "-U", "bitq", "-A", "trust"], check=True, **common)
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(home)]
    server = subprocess.Popen([PROGRAMS["postgres"], "-D", data, *options], **common)
    end = time.monotonic() + 60
    while not (home / ".s.PGSQL.5432").exists() and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    yield f"postgresql+psycopg://bitq@/postgres?host={home}"
    server.send_signal(signal.SIGINT)
    server.wait(timeout=30)
    shutil.rmtree(home)


WORKER = """
import os, signal, sys, time
from pathlib import Path
from tests.search.test_study import ANCHORS, ended, open_study
folder, address, total, dies = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with open_study(folder, storage=address) as study:
    study.prepare(ANCHORS)
    print("ready", flush=True)
    done = 0
    while study.counted < total and (trial := study.ask()) is not None:
        if done == dies:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        study.tell(ended(trial, trial.params["quant.strength"] / 10))
        done += 1
"""


def start(folder, address, total, dies=-1):
    command = [sys.executable, "-c", WORKER, str(folder), address, str(total), str(dies)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_hosts_share_a_study_and_the_death_of_one_costs_nothing(address, tmp_path):
    folder = tmp_path / "shared"
    first = start(folder, address, 30, dies=4)  # makes the tables
    assert first.stdout.readline() == "ready\n", first.stderr.read()
    others = [start(folder, address, 30) for _ in range(2)]
    codes = [process.wait(timeout=200) for process in (first, *others)]
    assert codes == [-signal.SIGKILL, 0, 0], [p.stderr.read() for p in others]
    with open_study(folder, storage=address) as study:
        outcomes = study.outcomes()
        assert 30 <= len(outcomes) <= 31  # the last two may have been asked for at the same time
        assert len({o.trial.key for o in outcomes}) == len(outcomes)
        assert {o.trial.anchor for o in outcomes} == {"", *ANCHORS}
        running = [t for t in study._trials() if not t.state.is_finished()]
        assert not [t for t in running if t.params]
    with pytest.raises(ConfigError, match="seed: 0 → 1"), open_study(folder, {"seed": 1}, storage=address):
        pass


def test_what_a_dead_process_ran_is_asked_again_at_once(address, tmp_path):
    folder = tmp_path / "dead"
    dying = start(folder, address, 5, dies=0)
    assert dying.wait(timeout=100) == -signal.SIGKILL
    with open_study(folder, storage=address) as study:
        begun = time.monotonic()
        trials = run(study, 3)
        assert time.monotonic() - begun < 20
    assert {t.anchor for t in trials} == {"", *ANCHORS}


def test_a_database_that_is_not_there_is_an_error_of_the_configuration(tmp_path):
    with (
        pytest.raises(ConfigError, match=r"search\.storage: the database cannot be used"),
        open_study(tmp_path, storage="postgresql+psycopg://nobody:secret@127.0.0.1:1/none") as study,
    ):
        study.counted  # noqa: B018
