"""What a trial of a search tries, how it ended, and which of them no other one beats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bitq.core import files
from bitq.search.config import Params

State = Literal["complete", "pruned", "failed", "over"]


@dataclass(frozen=True)
class Trial:
    """What one trial tries.

    Attributes:
        number: of the trial in the study.
        params: a value per parameter of the space.
        anchor: what this trial is called where it is one of the obvious first ones; else empty.
    """

    number: int
    params: Params
    anchor: str = ""

    @property
    def key(self) -> str:
        """A name for these parameters: equal ones, equal name."""
        return key_of(self.params)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        trial: which.
        state: ``complete``; ``pruned``, its curve was hopeless; ``failed``, its training diverged; ``over``, it would
            exceed the budget and was not trained.
        per_seed: validation metric of every repeat in 0..1.
        value: the objective, ``mean − k · std`` over the repeats; NaN where there is none.
        costs: bytes and instructions by name.
        reason: why it failed.
    """

    trial: Trial
    state: State
    per_seed: tuple[float, ...] = ()
    value: float = float("nan")
    costs: Mapping[str, float] = field(default_factory=dict[str, float])
    reason: str = ""


def key_of(params: Params) -> str:
    """Return twelve hexadecimal digits that stand for these parameters."""
    return files.sha256_bytes(json.dumps(params, sort_keys=True).encode())[:12]


def front_of(outcomes: Sequence[Outcome], costs: Sequence[str]) -> list[Outcome]:
    """Return the outcomes that no other one beats: at least as good in everything, and better in something.

    Args:
        outcomes: completed ones.
        costs: which costs count beside the value.
    """

    def point(o: Outcome) -> tuple[float, ...]:
        return (-o.value, *(o.costs.get(name, 0.0) for name in costs))

    points = {o.trial.number: point(o) for o in outcomes}
    best = [
        o
        for o in outcomes
        if not any(
            other != points[o.trial.number]
            and all(a <= b for a, b in zip(other, points[o.trial.number], strict=True))
            for other in points.values()
        )
    ]
    unique = {points[o.trial.number]: o for o in reversed(best)}
    return sorted(unique.values(), key=lambda o: point(o)[1:])
