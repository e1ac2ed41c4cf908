"""The memory plan: at which offset of one arena each buffer lives, and how many bytes the arena takes.

Two buffers may share bytes if they never live at the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A buffer of ``size`` elements that lives from step ``first`` to step ``last``, both included."""

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: Request) -> bool:
        """Whether both live at some step."""
        return self.first <= other.last and other.first <= self.last


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
    least = max((sum(r.size for r in requests if r.first <= s <= r.last) for s in _steps(requests)), default=0)
    # A buffer of one step is scratch; it fits between two ends that have been taken.
    by_birth = sorted(requests, key=lambda r: (r.first == r.last, r.first, r.name))
    ends = _place(by_birth, lambda number, gaps, size: gaps[0][0] if number % 2 == 0 else gaps[-1][1] - size, least)
    by_size = sorted(requests, key=lambda r: (-r.size, r.first, r.name))
    low = _place(by_size, lambda _, gaps, __: gaps[0][0], sum(r.size for r in requests))
    assert low is not None
    return ends if ends is not None and ends.size <= low.size else low


def _steps(requests: Iterable[Request]) -> set[int]:
    return {r.first for r in requests}


def _place(
    order: Sequence[Request], choose: Callable[[int, list[tuple[int, int]], int], int], limit: int
) -> Plan | None:
    """Place in the given order below ``limit``; None where a buffer finds no gap."""
    placed: list[tuple[Request, int]] = []
    for number, request in enumerate(order):
        taken = sorted((start, start + other.size) for other, start in placed if other.meets(request))
        gaps = [gap for gap in _gaps(taken, limit) if gap[1] - gap[0] >= request.size]
        if not gaps:
            return None
        placed.append((request, choose(number, gaps, request.size)))
    size = max((start + request.size for request, start in placed), default=0)
    return Plan({request.name: start for request, start in placed}, size)


def _gaps(taken: Sequence[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    gaps: list[tuple[int, int]] = []
    end = 0
    for start, stop in [*taken, (limit, limit)]:
        if start >= end:
            gaps.append((end, start))
        end = max(end, stop)
    return gaps
