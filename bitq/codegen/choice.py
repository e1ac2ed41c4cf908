"""Which of its forms in C each operation takes: the smallest, the fastest, or what is worth its flash."""

from __future__ import annotations

from functools import partial

from bitq.codegen.ops import buckets, recurrent, straight
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.table import PRINTERS
from bitq.core.errors import DeployError
from bitq.ir.ops import Conv, Dense, Op, Recurrent

OPTIMIZE = ("size", "balanced", "speed")
"""What may decide: flash, both, or instructions."""

_STRAIGHT_WEIGHTS = {"balanced": 600, "speed": 2000}


def step_of(op: Recurrent, state: str, optimize: str) -> Printer:
    """Return how one step of a recurrent layer is printed, whose state is a field of the caller's."""
    most = _STRAIGHT_WEIGHTS.get(optimize, 0)
    return Printer(partial(recurrent.step, state=state, most=most), partial(recurrent.step_scratch, most=most))


def printer_of(op: Op, optimize: str) -> Printer:
    """Return how an operation is printed.

    Raises:
        DeployError: ``optimize`` is none of `OPTIMIZE`.
    """
    if optimize not in OPTIMIZE:
        raise DeployError(f"optimize is '{optimize}'; allowed: {', '.join(OPTIMIZE)}.")
    if optimize == "size" or not isinstance(op, Conv | Dense | Recurrent):
        return PRINTERS[type(op)]
    if isinstance(op, Recurrent):
        most = _STRAIGHT_WEIGHTS[optimize]
        return Printer(partial(recurrent.recurrent, most=most), partial(recurrent.scratch, most=most))
    if straight.covers(op) and op.weights.codes.size <= _STRAIGHT_WEIGHTS[optimize]:
        return straight.DENSE if isinstance(op, Dense) else straight.CONV
    return buckets.DENSE if isinstance(op, Dense) else PRINTERS[Conv]
