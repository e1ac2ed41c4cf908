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
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from bitq.core import plugins
from bitq.core.errors import BitqError, ToolError, TrainingError

ATTEMPTS = 3
"""How often a job is begun whose worker keeps being killed."""

_KILLED = (
    f"a worker process was killed from outside {ATTEMPTS} times (out of memory?); run the command again, "
    "with fewer workers (`workers=1`) if it repeats."
)

Function = Callable[[Any, Any], Any]
OnReport = Callable[[int, Any], bool | None]

_send: Callable[[Any], None] | None = None  # in a job: what `report` calls


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


class StoppedError(BitqError):
    """A job ended early because nobody needs its result any more."""


def run_jobs(
    function: Function,
    shared: Any,
    arguments: Iterable[Any],
    *,
    workers: int,
    on_report: OnReport | None = None,
    preload: Sequence[str] = (),
) -> Iterator[Done]:
    """Run ``function(shared, argument)`` for every argument in worker processes and yield each as it ends.

    The death of a worker is noticed at once. Its job alone begins again, in a new worker; the error of one whose
    workers died `ATTEMPTS` times is a TrainingError.

    Args:
        function: a top-level function; what it raises comes back as the job's ``error``.
        shared: a picklable value, sent to each worker once.
        arguments: one picklable value per job; each is drawn when a worker becomes free, after the results so far
            have been yielded, so a generator may choose the next job by them.
        workers: processes at most; 1 still uses a process, so that every job starts from the same state.
        on_report: called in this process as ``on_report(index, value)`` for each `report` of a running job; where
            it returns True, the job's next `report` ends it with the error `StoppedError`.
        preload: modules that the fork server imports once for all workers.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["bitq.core.processes", *preload])
    lifeline, leash = context.Pipe(duplex=False)
    setup = (plugins.loaded(), lifeline, function, shared)
    waiting = (_Job(index, argument) for index, argument in enumerate(arguments))
    busy: list[_Worker] = []
    idle: list[_Worker] = []
    try:
        while True:
            while len(busy) < workers and (job := next(waiting, None)) is not None:
                worker = idle.pop() if idle else _Worker(context, setup)
                busy.append(worker)
                worker.begin(job)
            if not busy:
                break
            ready = wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                done = worker.receive(on_report)
                if done is not None:
                    busy.remove(worker)
                    idle += [worker] * worker.alive
                    yield done
                elif not worker.alive:
                    busy[busy.index(worker)] = fresh = _Worker(context, setup)
                    fresh.begin(worker.job)
        for worker in idle:
            worker.end()
    finally:
        leash.close()


def report(value: Any) -> None:
    """Send a picklable value (progress, mostly) from inside a job to the parent; nothing outside a job.

    Raises:
        StoppedError: the parent wants the job to end.
    """
    if _send is not None:
        _send(value)


@contextlib.contextmanager
def reporting(send: Callable[[Any], None]) -> Generator[None]:
    """Let `report` call ``send`` while the block runs: for whoever runs jobs in other ways than `run_jobs`."""
    global _send
    _send = send
    try:
        yield
    finally:
        _send = None


@dataclass
class _Job:
    index: int
    argument: Any
    deaths: int = 0


class _Worker:
    """A worker process as its parent sees it; runs one job at a time."""

    job: _Job

    def __init__(self, context: Any, setup: tuple[Any, ...]) -> None:
        self.pipe, theirs = context.Pipe()
        self.alive = True
        self._process = context.Process(target=_work, args=(theirs, *setup), daemon=True)
        self._process.start()
        theirs.close()  # so that the death of the worker closes the pipe

    def begin(self, job: _Job) -> None:
        self.job = job
        with contextlib.suppress(BrokenPipeError):  # it died meanwhile: `receive` finds out
            self.pipe.send(("run", job.index, job.argument))

    def end(self) -> None:
        """Let the process end by itself, as far as it does so soon."""
        self.pipe.close()
        self._process.join(timeout=5)

    def receive(self, on_report: OnReport | None) -> Done | None:
        """Read one message; return the end of the job, or None if it goes on or has to begin again elsewhere."""
        index = self.job.index
        try:
            kind, value = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.alive = False
            self.job.deaths += 1
            if self.job.deaths < ATTEMPTS:
                return None
            return Done(index, None, TrainingError(_KILLED))
        if kind == "report":
            if on_report is not None and on_report(index, value):
                with contextlib.suppress(BrokenPipeError):
                    self.pipe.send(("stop", index, None))
            return None
        return Done(index, value, None) if kind == "done" else Done(index, None, value)


def _work(pipe: Connection, files: tuple[Path, ...], lifeline: Any, function: Function, shared: Any) -> None:
    """Run jobs until the parent is gone or wants us gone."""
    from tqdm import tqdm

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        # Only the parent holds the other end: it closes when the parent wants us gone, or is gone itself.
        # (The fork server outlives the parent as long as a worker does, so our own parent tells nothing.)
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    # torch.fx counts by tqdm, whose lock between processes Python would call leaked where this one is ended.
    tqdm.set_lock(threading.RLock())
    for path in files:
        plugins.load(path)
    with contextlib.suppress(EOFError):
        while True:
            kind, index, argument = pipe.recv()
            if kind == "run":  # a "stop" may come too late
                _answer(pipe, index, function, shared, argument)


def _answer(pipe: Connection, index: int, function: Function, shared: Any, argument: Any) -> None:
    def send(value: Any) -> None:
        pipe.send(("report", value))
        if pipe.poll() and pipe.recv()[:2] == ("stop", index):
            raise StoppedError("ended early.")

    try:
        with reporting(send):
            answer = ("done", function(shared, argument))
    except Exception as error:  # noqa: BLE001  handed to the caller, who decides
        error.add_note(traceback.format_exc())
        answer = ("error", error)
    try:
        pipe.send(answer)
    except Exception as error:  # noqa: BLE001  what cannot travel is told in words
        pipe.send(("error", TrainingError(f"{answer[1]!r} cannot be sent to the parent process: {error}")))
