"""A parent that is killed leaves no worker behind, not even one in the middle of a job."""

import signal
import subprocess
import sys
import time
from pathlib import Path

_PARENT = """
import os, sys, time
from bitq.core.processes import run_jobs, report

def job(shared, argument):
    report(os.getpid())
    time.sleep(60)

if __name__ == "__main__":
    show = lambda index, pid: print(pid, flush=True)
    list(run_jobs(job, None, [1, 2], workers=2, on_report=show))
"""


def test_workers_end_with_their_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(_alive(pid) for pid in workers)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(pid) for pid in workers)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
