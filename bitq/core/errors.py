"""The errors a user can meet, each with the exit code that the command line returns for it.

    BitqError                 1
    ├── ConfigError           2   the configuration names or values are wrong
    ├── DataError             3   data is missing, damaged or refused
    ├── TrainingError         4   training diverged, or every trial failed
    └── DeployError           5   the firmware is not exact or misses its budget
        ├── RangeError        5   an accumulator may not fit: the graph is refused
        └── ToolError         5   a compiler or an emulator failed, hung or is missing

A message says what is wrong, where, the value, what is allowed and what to do, in one or two lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 340  # letters of a list of names in a message
_CLOSEST = 8  # names in place of a longer one


class BitqError(Exception):
    """Base of every error that bitq raises on purpose."""

    exit_code = 1


class ConfigError(BitqError):
    """A configuration key, name or value is wrong; nothing has been started."""

    exit_code = 2


class DataError(BitqError):
    """A dataset is missing, damaged or refused."""

    exit_code = 3


class TrainingError(BitqError):
    """A training diverged, or every trial of a search failed."""

    exit_code = 4


class DeployError(BitqError):
    """The integer model, its C or its firmware cannot be delivered as promised."""

    exit_code = 5


class RangeError(DeployError):
    """Interval analysis could not prove that an intermediate value fits its type."""


class ToolError(DeployError):
    """An external program (compiler, emulator) is missing, failed, hung or printed nonsense."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or a list of what is allowed, the closest of many.

    Args:
        word: what the user wrote.
        known: every name that would have been right.
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean '{close[0]}'?"
    allowed = ", ".join(names)
    if len(allowed) > _LONGEST:
        some = difflib.get_close_matches(word, names, n=_CLOSEST, cutoff=0.0)
        allowed = f"{', '.join(some)} and {len(names) - len(some)} more"
    return f" Allowed: {allowed}." if names else ""
