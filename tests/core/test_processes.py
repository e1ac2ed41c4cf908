import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitq.core.errors import DataError, ToolError, TrainingError
from bitq.core.processes import Interrupted, StoppedError, find_tool, report, run_jobs, run_tool
from tests.core.jobs import work

SHELL = ["/bin/sh", "-c"]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def eventually(holds, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def test_the_output_of_a_tool_is_returned():
    assert run_tool(["cat"], timeout_s=5, stdin=b"a\x00b") == b"a\x00b"
    assert run_tool([*SHELL, "echo $WORD; pwd"], timeout_s=5, cwd=Path("/"), environment={"WORD": "x"}) == b"x\n/\n"


def test_a_missing_tool_and_a_failing_one_are_named():
    with pytest.raises(ToolError, match="cannot start no-such-tool: No such file"):
        run_tool(["/usr/bin/no-such-tool"], timeout_s=5)
    with pytest.raises(ToolError, match="sh failed with code 3:\nwrong flag"):
        run_tool([*SHELL, "echo wrong flag >&2; exit 3"], timeout_s=5)


def test_arguments_are_never_read_by_a_shell():
    assert run_tool(["echo", "$HOME; rm -rf /"], timeout_s=5) == b"$HOME; rm -rf /\n"


@pytest.mark.parametrize("waiting", [None, lambda: None])
def test_a_hung_tool_is_killed_with_its_children(tmp_path, waiting):
    pid = tmp_path / "pid"
    start = time.monotonic()
    with pytest.raises(ToolError, match=r"sh did not end within 0\.5 s"):
        run_tool([*SHELL, f"sleep 60 & echo $! > {pid}; wait"], timeout_s=0.5, on_wait=waiting)
    assert time.monotonic() - start < 5
    assert eventually(lambda: gone(int(pid.read_text())))


def test_on_wait_may_stop_a_tool(tmp_path):
    pid = tmp_path / "pid"

    def stop():
        if pid.exists():
            raise Interrupted(signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM"):
        run_tool([*SHELL, f"echo $$ > {pid}; sleep 60"], timeout_s=30, on_wait=stop)
    assert gone(int(pid.read_text()))


def test_an_interruption_is_not_lost_when_the_tool_ends_meanwhile(tmp_path):
    def stop():
        os.waitpid(-1, 0)
        raise Interrupted(signal.SIGTERM)

    with pytest.raises(Interrupted):
        run_tool([*SHELL, "sleep 0.6"], timeout_s=30, on_wait=stop)


def test_the_first_tool_that_is_installed_is_found():
    assert find_tool("no-such-tool", "sh", "cat") == find_tool("sh")
    assert find_tool("no-such-tool") is None


def test_every_job_gives_its_result_and_knows_its_place():
    jobs = [("double", i) for i in range(6)]
    done = sorted(run_jobs(work, 10, jobs, workers=2))
    assert [(d.place, d.result, d.error) for d in done] == [(i, 20 * i, None) for i in range(6)]


def test_a_quick_job_need_not_wait_for_a_slow_one():
    jobs = [("sleep", 2.0), ("sleep", 0.0), ("sleep", 0.0)]
    assert [d.place for d in run_jobs(work, None, jobs, workers=2)] == [1, 2, 0]


def test_errors_come_back_as_they_were_raised():
    done = sorted(run_jobs(work, None, [("fail", "a.csv:3"), ("bug", "k"), ("double", 1)], workers=1))
    assert isinstance(done[0].error, DataError)
    assert str(done[0].error) == "a.csv:3"
    assert isinstance(done[1].error, KeyError)
    assert done[2].result == 2


def test_reports_arrive_with_the_index_of_their_job():
    got: list[tuple[int, int]] = []
    list(run_jobs(work, None, [("report", 3), ("report", 2)], workers=2, on_report=lambda i, v: got.append((i, v))))
    assert sorted(got) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_a_report_outside_a_job_does_nothing():
    report("nobody listens")


def test_a_job_is_chosen_when_a_worker_is_free_and_the_results_so_far_are_known():
    seen: list[int] = []
    known: list[int] = []

    def jobs():
        for i in range(4):
            known.append(len(seen))
            yield ("double", i)

    for done in run_jobs(work, None, jobs(), workers=1):
        seen.append(done.place)
    assert known == [0, 1, 2, 3]


def test_workers_are_fresh_processes_that_leave_ctrl_c_to_the_parent():
    (done,) = run_jobs(work, None, [("who", None)], workers=1)
    pid, ignores, _ = done.result
    assert pid != os.getpid()
    assert ignores


def test_a_job_whose_workers_keep_being_killed_is_an_error_that_says_so():
    killed, other = sorted(run_jobs(work, None, [("kill", 0), ("double", 1)], workers=1))
    assert isinstance(killed.error, TrainingError)
    assert "killed from outside 3 times" in str(killed.error)
    assert other.result == 2


def test_the_job_of_a_killed_worker_alone_begins_again(tmp_path):
    started = tmp_path / "started"
    jobs = [("once", started), ("count", tmp_path / "other"), ("double", 3)]
    done = sorted(run_jobs(work, None, jobs, workers=2))
    assert [(d.result, d.error) for d in done] == [(2, None), (1, None), (6, None)]


def test_a_worker_killed_while_the_caller_is_busy_is_replaced(tmp_path):
    jobs = run_jobs(work, None, [("double", 1), ("once", tmp_path / "a"), ("double", 2)], workers=2)
    assert next(jobs).result == 2
    time.sleep(1.2)
    assert sorted(d.result for d in jobs) == [2, 4]


def test_a_job_can_be_stopped_by_what_it_reports():
    jobs = [("report", 50), ("report", 2), ("double", 1)]
    done = sorted(run_jobs(work, None, jobs, workers=1, on_report=lambda index, value: index == 0 and value >= 3))
    assert isinstance(done[0].error, StoppedError)
    assert [(d.result, d.error) for d in done[1:]] == [(None, None), (2, None)]


def test_what_cannot_travel_is_told_in_words():
    (done,) = run_jobs(work, None, [("lambda", None)], workers=1)
    assert isinstance(done.error, TrainingError)
    assert "cannot be sent to the parent process" in str(done.error)


@pytest.mark.parametrize("how", ["raise", "close"])
def test_leaving_early_ends_the_workers(tmp_path, how):
    path = tmp_path / "late"
    jobs = run_jobs(work, None, [("who", None), ("sleep", 60), ("write", path)], workers=2)
    pid = next(jobs).result[0]
    if how == "close":
        jobs.close()
    else:
        with pytest.raises(Interrupted):
            jobs.throw(Interrupted(signal.SIGTERM))
    assert eventually(lambda: gone(pid))
    assert not path.exists()


PARENT = """
import sys
from tests.core.jobs import work
from bitq.core.processes import run_jobs
if __name__ == "__main__":
    for done in run_jobs(work, None, [("who", None), ("sleep", 60)], workers=2):
        print(done.result[0], flush=True)
"""


def test_workers_end_when_the_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    )
    pid = int(parent.stdout.readline())
    assert not gone(pid)
    parent.kill()
    parent.wait()
    assert eventually(lambda: gone(pid))
    parent.stdout.close()
