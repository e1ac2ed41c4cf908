import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from bitq import ui
from bitq.track import store


def test_without_runs_it_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert ui.main(["--folder", str(tmp_path / "mlruns")]) == 2
    assert "run an experiment first" in capsys.readouterr().err
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.long
def test_the_server_answers_on_loopback_and_ends_at_ctrl_c(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "mlruns"
    client = store.open_client(folder)
    number = store.experiment_id(client, folder, "exp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bitq.ui", "--port", str(port), "--folder", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, text=True)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        assert f"http://127.0.0.1:{port}/#/experiments/{number}/runs?" in server.stdout.readline()
        assert answers(f"http://127.0.0.1:{port}/health", timeout_s=90)
    finally:
        os.kill(server.pid, signal.SIGINT)
        server.communicate(timeout=30)
    assert not answers(f"http://127.0.0.1:{port}/health", timeout_s=0)


def answers(url, timeout_s):
    end = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                return False
            time.sleep(0.3)
