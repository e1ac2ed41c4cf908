"""The memory plan: at which offset of one arena each buffer lives, and how many elements the arena takes.

Two buffers may share elements if they never live at the same step. Values that are computed in place are one buffer
that changes its size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Stage(NamedTuple):
    """``size`` elements from step ``first`` to step ``last``, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Stage) -> bool:
        """Whether both live at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Request:
    """A buffer: its stages all begin at the same offset."""

    name: str
    stages: tuple[Stage, ...]

    @property
    def size(self) -> int:
        """Elements of its largest stage."""
        return max(stage.size for stage in self.stages)

    @property
    def first(self) -> int:
        """Step of its birth."""
        return min(stage.first for stage in self.stages)

    @property
    def last(self) -> int:
        """Step of its end."""
        return max(stage.last for stage in self.stages)

    def size_at(self, step: int) -> int:
        """Elements that it takes at a step."""
        return max((stage.size for stage in self.stages if stage.first <= step <= stage.last), default=0)


@dataclass(frozen=True)
class Plan:
    """Offset of every buffer, and elements in all."""

    offsets: dict[str, int]
    size: int


def plan(requests: Sequence[Request]) -> Plan:
    """Place buffers so that those alive together never overlap.

    Two strategies are tried and the smaller result is kept. Buffers in order of their birth, alternately at the low
    and at the high end of the smallest arena that could do: for a chain of operations this is optimal. And the
    largest first, each as low as possible, for graphs that branch.
    """
    steps = {stage.first for request in requests for stage in request.stages}
    least = max((sum(request.size_at(step) for request in requests) for step in steps), default=0)
    # A buffer of one step is scratch; it fits between two ends that have been taken.
    by_birth = sorted(requests, key=lambda r: (r.first == r.last, r.first, r.name))
    ends = _place(by_birth, lambda number, places: min(places) if number % 2 == 0 else max(places), least)
    by_size = sorted(requests, key=lambda r: (-r.size, r.first, r.name))
    low = _place(by_size, lambda _, places: min(places), sum(request.size for request in requests))
    assert low is not None
    return ends if ends is not None and ends.size <= low.size else low


def _place(order: Sequence[Request], choose: Callable[[int, list[int]], int], limit: int) -> Plan | None:
    """Place in the given order below ``limit``; None where a buffer fits nowhere."""
    placed: list[tuple[Stage, int]] = []
    offsets: dict[str, int] = {}
    for number, request in enumerate(order):
        edges = {0, limit - request.size}
        for other, start in placed:
            edges |= {start + other.size, *(start - stage.size for stage in request.stages)}
        places = [at for at in edges if 0 <= at <= limit - request.size and _is_free(request, at, placed)]
        if not places:
            return None
        offsets[request.name] = choose(number, places)
        placed += [(stage, offsets[request.name]) for stage in request.stages]
    return Plan(offsets, max((start + stage.size for stage, start in placed), default=0))


def _is_free(request: Request, at: int, placed: Sequence[tuple[Stage, int]]) -> bool:
    return not any(
        stage.meets(other) and at < start + other.size and start < at + stage.size
        for stage in request.stages
        for other, start in placed
    )
