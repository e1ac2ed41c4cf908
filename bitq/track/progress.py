"""Progress of many jobs at once: bars on a terminal, elsewhere a sober line now and then.

One class for trainings (epoch k of n), emulation (samples) and downloads (bytes). Meant for the process that
gathers the workers' reports; it starts no thread of its own off the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass
class _Job:
    started: float
    task: TaskID | None
    done: int = 0
    total: int | None = None
    detail: str = ""
    ended: bool = False


class ProgressBars:
    """A context manager that shows jobs by name.

    Args:
        title: what is going on, in a word or two.
        jobs: how many there will be, where known; else those seen so far.
        unit: of the counts; ``"B"`` shows kB and MB.
        every_s: off the terminal, seconds between two lines at least.
        console: to print on; standard output by default.
        clock: in seconds, for the intervals.
    """

    def __init__(
        self,
        title: str,
        *,
        jobs: int | None = None,
        unit: str = "epochs",
        every_s: float = 5.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title, self._expected, self._unit, self._every_s = title, jobs, unit, every_s
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._started = self._told = clock()
        self._jobs: dict[str, _Job] = {}
        self._bars: Progress | None = None

    def __enter__(self) -> ProgressBars:
        self._started = self._told = self._clock()
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                TextColumn("{task.fields[count]}", justify="right"),
                TextColumn("{task.fields[detail]}"),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def update(self, job: str, done: int, total: int | None, detail: str = "") -> None:
        """Show how far a job is; the first call begins it.

        Args:
            job: its name.
            done: units done.
            total: of how many; None where unknown.
            detail: a metric, for example ``"val 95.1 %"``.
        """
        state = self._state(job)
        state.done, state.total, state.detail = done, total, detail
        if self._bars is not None:
            self._draw(state)
        elif self._clock() - self._told >= self._every_s:
            running = [name for name, other in self._jobs.items() if not other.ended]
            shown = "; ".join(self._describe(name) for name in running[:3])
            more = f"; {len(running) - 3} more" if len(running) > 3 else ""
            self._tell(f"{shown}{more}")

    def finish(self, job: str, detail: str = "") -> None:
        """Say that a job has ended: a full bar, or a line with its time.

        Args:
            job: its name.
            detail: its result; what was shown last is kept where it is empty.
        """
        state = self._state(job)
        state.ended, state.detail = True, detail or state.detail
        if self._bars is not None:
            self._draw(state)
            if state.task is not None:
                self._bars.stop_task(state.task)
        else:
            ended = sum(other.ended for other in self._jobs.values())
            result = f", {state.detail}" if state.detail else ""
            count = f"{ended} of {self._expected or len(self._jobs)}"
            self._tell(f"{job}: done in {self._clock() - state.started:.1f} s{result} ({count})")

    def note(self, line: str) -> None:
        """Print a line above the bars."""
        if self._bars is not None:
            self._bars.console.print(Text(line), soft_wrap=True)
        else:
            self._tell(line)

    def _state(self, job: str) -> _Job:
        if job not in self._jobs:
            task = None
            if self._bars is not None:
                name = escape(f"{self._title} {job}".strip())
                task = self._bars.add_task(name, total=None, count="", detail="")
            self._jobs[job] = _Job(self._clock(), task)
        return self._jobs[job]

    def _draw(self, state: _Job) -> None:
        if self._bars is None or state.task is None:
            return
        total: Any = (state.total or state.done or 1) if state.ended else state.total
        done = total if state.ended else state.done
        detail = escape(state.detail)
        self._bars.update(state.task, total=total, completed=done, count=self._count(state), detail=detail)

    def _tell(self, text: str) -> None:
        self._told = self._clock()
        elapsed_s = self._told - self._started
        self._console.print(Text(f"[{elapsed_s:6.1f} s] {self._title}: {text}"), soft_wrap=True)

    def _describe(self, job: str) -> str:
        state = self._jobs[job]
        return f"{job} {self._count(state)}" + (f", {state.detail}" if state.detail else "")

    def _count(self, state: _Job) -> str:
        total = "" if state.total is None else f"/{self._number(state.total)}"
        return f"{self._number(state.done)}{total}" + ("" if self._unit == "B" else f" {self._unit}")

    def _number(self, value: int) -> str:
        if self._unit == "B":
            for factor, name in SIZES:
                if value >= factor:
                    return f"{value / factor:.1f} {name}"
            return f"{value} B"
        return f"{value:,}"
