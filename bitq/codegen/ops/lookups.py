"""Straight-line C that looks its sums up: of each four inputs the eight sums ``x0 ± x1 ± x2 ± x3`` are made once.

Every column of signs then adds or takes one of them for four weights, by two short instructions. So the code holds a
byte for each weight, and no instruction is spent on unpacking it. The last one to three inputs of a run are added
one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bitq.codegen.ops.groups import MOST_COLUMNS, columns_of, groups_of
from bitq.ir.types import TERNARY, Weights

INPUTS = 4
"""Inputs of one set of sums."""

SUMS = 8
"""Sums of one set, words each."""

_PER_SET, _PER_RUN = 26, 12  # instructions that make the sums of a set, and that call the function for a run
_BYTES, _INSTRUCTIONS = 1.3, 1.65  # of looking up, that are worth one of summing up by groups

REACH = 32
"""Words that a short instruction reaches from a pointer."""


class Run(NamedTuple):
    """Inputs that lie side by side: the C name of the first, and how many they are."""

    name: str
    inputs: int

    @property
    def sets(self) -> int:
        """Sets of sums that it takes."""
        return self.inputs // INPUTS


def pays(weights: Weights, runs: Sequence[int], made: int) -> bool:
    """Whether looking sums up takes less code than `groups_of` the columns, and not many more instructions.

    Args:
        weights: of one layer; only signs without a zero can be looked up, alone or as planes of odd integers.
        runs: how many inputs lie side by side, in the order of the weights.
        made: times that the sums of a window are made for it: 0 where it shares them with its neighbours.
    """
    if weights.dtype is TERNARY or weights.dtype.bits > MOST_COLUMNS:
        return False
    columns = len(columns_of(weights)[1])
    sets = sum(run // INPUTS for run in runs)
    looked_up = 2 * columns * (sets + sum(run % INPUTS for run in runs))
    grouped = sum(group.operations for group in groups_of(weights))
    making = made * (_PER_SET * sets + _PER_RUN * len(runs))
    return sets > 0 and looked_up < _BYTES * grouped and looked_up + making < _INSTRUCTIONS * grouped


def lines(weights: Weights, runs: Sequence[Run], to: str, call: str = "") -> list[str]:
    """Print the sums of all columns; a column is a plane of an output, the lowest first.

    The sums of four inputs are at t0, t1, …, `REACH` words each. They are volatile: compilers would keep far more of
    them at hand than they have registers for.

    Args:
        weights: of one layer.
        runs: where its inputs lie; they are added one run after the other.
        to: the array that takes the sums of the columns.
        call: the function that makes sums of four; without one they are there already, as t0, t1, …
    """
    printed = _arrays(max(run.sets for run in runs)) if call else []
    printed.append("uint32_t s;")
    _, signs = columns_of(weights)
    at = 0
    for run in runs:
        if call:
            printed += _made(run, call)
        for number, column in enumerate(signs[:, at : at + run.inputs].tolist()):
            so_far = [(f"{to}[{number}]", False)] if at else []
            # One that is added comes first where there is one.
            first, *terms = sorted([*so_far, *_terms(column, run)], key=lambda term: term[1])
            printed.append(f"s = {'0u - ' if first[1] else ''}{first[0]};")
            printed += [f"s = bitq_{'minus' if is_minus else 'plus'}(s, {name});" for name, is_minus in terms]
            printed.append(f"{to}[{number}] = s;")
        at += run.inputs
    return printed


def pointers(sets: int) -> int:
    """Return how many pointers reach the sums of so many sets."""
    return -(-sets * SUMS // REACH)


def _arrays(sets: int) -> list[str]:
    """Print arrays for sums, each within reach of its name."""
    sizes = [min(REACH, SUMS * sets - REACH * k) for k in range(pointers(sets))]
    arrays = [f"uint32_t made{k}[{size}];" for k, size in enumerate(sizes)]
    return [*arrays, *(f"const volatile uint32_t *const t{k} = made{k};" for k in range(len(sizes)))]


def _made(run: Run, call: str) -> list[str]:
    """Print the calls that make the sums of a run."""
    most = REACH // SUMS
    return [
        f"{call}({run.name}{f' + {INPUTS * most * k}' if k else ''}, {min(most, run.sets - most * k)}, made{k});"
        for k in range(pointers(run.sets))
    ]


def _terms(column: Sequence[int], run: Run) -> list[tuple[str, bool]]:
    """Return what a column needs of one run, and whether each is taken away."""
    found, word = list[tuple[str, bool]](), 0
    for start in range(0, INPUTS * run.sets, INPUTS):
        first, *others = column[start : start + INPUTS]
        place = word + sum((sign != first) << 2 - bit for bit, sign in enumerate(others))
        found.append((f"t{place // REACH}[{place % REACH}]", first < 0))
        word += SUMS
    return found + [(f"(uint32_t){run.name}[{k}]", column[k] < 0) for k in range(INPUTS * run.sets, run.inputs)]
