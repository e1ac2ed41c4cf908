"""The only place where processes are started: external tools with a time limit, and jobs in worker processes.

Workers come from a fork server that has the heavy imports done, hold one torch thread each, ignore Ctrl-C
(the parent decides) and end by themselves when the parent is gone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple, TypeVar

from bitq.core import plugins
from bitq.core.errors import ToolError, TrainingError

T = TypeVar("T")

_KILLED = (
    "a worker process was killed from outside (out of memory?); run the command again, "
    "with fewer workers (`workers=1`) if it repeats."
)

_reports: Any = None  # in a worker: the queue to the parent
_index: int | None = None  # in a worker: the job that it runs
_shared: Any = None  # in a worker: what all jobs share


class Interrupted(BaseException):
    """A signal asked the program to end; carries its number so that the exit code can say which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def find_tool(*names: str) -> str | None:
    """Return the path of the first of these programs that is installed, or None."""
    return next((path for name in names if (path := shutil.which(name))), None)


def run_tool(
    command: Sequence[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    on_wait: Callable[[], None] | None = None,
) -> bytes:
    """Run an external program to its end and return what it wrote to standard output.

    The program gets a process group of its own, which is killed as a whole when the time is up.

    Args:
        command: program and arguments; no shell is involved.
        timeout_s: seconds after which it counts as hung.
        cwd: folder to run in.
        environment: variables added to the present ones.
        stdin: bytes for its standard input.
        on_wait: called a few times per second while the program runs; what it raises stops the program.

    Raises:
        ToolError: it is missing, hung or returned a code other than 0; the message quotes the end of its output.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(  # noqa: S603  the command is a list made here, never a shell line
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"cannot start {name}: {error.strerror}.") from error
    try:
        output, errors = _communicate(process, stdin, timeout_s, on_wait)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise ToolError(f"{name} did not end within {timeout_s:g} s and was stopped.") from error
        raise
    if process.returncode != 0:
        text = (errors or output).decode(errors="replace").strip()[-2000:]
        raise ToolError(f"{name} failed with code {process.returncode}:\n{text}")
    return output


def _communicate(
    process: subprocess.Popen[bytes], stdin: bytes | None, timeout_s: float, on_wait: Callable[[], None] | None
) -> tuple[bytes, bytes]:
    if on_wait is None:
        return process.communicate(stdin, timeout=timeout_s)
    end = time.monotonic() + timeout_s
    while True:
        try:
            return process.communicate(stdin, timeout=min(0.25, max(0.0, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise
            stdin = None  # what was given once keeps being sent
            on_wait()


class Done(NamedTuple):
    """One finished job: its place in the list of arguments, and its result or its error."""

    place: int
    result: Any
    error: Exception | None


def run_jobs(
    function: Callable[[Any, Any], T],
    shared: Any,
    arguments: Iterable[Any],
    *,
    workers: int,
    on_report: Callable[[int, Any], None] | None = None,
    preload: Sequence[str] = (),
) -> Iterator[Done]:
    """Run ``function(shared, argument)`` for every argument in worker processes and yield each as it ends.

    Args:
        function: a top-level function; what it raises comes back as the job's ``error``.
        shared: a picklable value, sent to each worker once.
        arguments: one picklable value per job; each is drawn when a worker becomes free, after the results so far
            have been yielded, so a generator may choose the next job by them.
        workers: processes at most; 1 still uses a process, so that every job starts from the same state.
        on_report: called in this process as ``on_report(index, value)`` for each `report` of a running job.
        preload: modules that the fork server imports once for all workers.

    Raises:
        TrainingError: a worker was killed (out of memory, for example).
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["bitq.core.processes", *preload])
    reports = context.Queue()
    lifeline, leash = context.Pipe(duplex=False)
    setup = (plugins.loaded(), reports, lifeline, shared)
    executor = ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=setup)
    waiting = enumerate(arguments)
    pending: dict[Future[T], int] = {}
    try:
        while True:
            for index, argument in islice(waiting, workers - len(pending)):
                pending[_submit(executor, function, index, argument)] = index
            if not pending:
                return
            finished, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            _drain(reports, on_report)
            for future in finished:
                yield _done(future, pending.pop(future))
    except BaseException:
        leash.close()
        raise
    finally:
        executor.shutdown(wait=not leash.closed, cancel_futures=True)


def report(value: Any) -> None:
    """Send a picklable value (progress, mostly) from inside a job to the parent; nothing outside a job."""
    if _index is not None:
        _reports.put((_index, value))


def _submit(executor: ProcessPoolExecutor, function: Callable[[Any, Any], T], index: int, argument: Any) -> Future[T]:
    try:
        return executor.submit(_run_job, function, index, argument)
    except BrokenProcessPool as error:
        raise TrainingError(_KILLED) from error


def _done(future: Future[Any], index: int) -> Done:
    try:
        return Done(index, future.result(), None)
    except BrokenProcessPool as error:
        raise TrainingError(_KILLED) from error
    except Exception as error:  # noqa: BLE001  handed to the caller, who decides
        return Done(index, None, error)


def _drain(reports: Any, on_report: Callable[[int, Any], None] | None) -> None:
    while True:
        try:
            index, value = reports.get_nowait()
        except Empty:
            return
        if on_report is not None:
            on_report(index, value)


def _begin_worker(files: tuple[Path, ...], reports: Any, lifeline: Any, shared: Any) -> None:
    global _reports, _shared
    for path in files:
        plugins.load(path)
    _reports, _shared = reports, shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        # Only the parent holds the other end: it closes when the parent wants us gone, or is gone itself.
        # (The fork server outlives the parent as long as a worker does, so our own parent tells nothing.)
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _run_job(function: Callable[[Any, Any], T], index: int, argument: Any) -> T:
    global _index
    _index = index
    try:
        return function(_shared, argument)
    finally:
        _index = None
