"""Which of its forms in C each operation takes: the smallest, the fastest, or what is worth its flash."""

from __future__ import annotations

from bitq.codegen.ops import buckets, straight
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.table import PRINTERS
from bitq.core.errors import DeployError
from bitq.ir.ops import Conv, Dense, Op

OPTIMIZE = ("size", "balanced", "speed")
"""What may decide: flash, both, or instructions."""

_STRAIGHT_WEIGHTS = {"balanced": 600, "speed": 2000}


def printer_of(op: Op, optimize: str) -> Printer:
    """Return how an operation is printed.

    Raises:
        DeployError: ``optimize`` is none of `OPTIMIZE`.
    """
    if optimize not in OPTIMIZE:
        raise DeployError(f"optimize is '{optimize}'; allowed: {', '.join(OPTIMIZE)}.")
    if optimize == "size" or not isinstance(op, Conv | Dense):
        return PRINTERS[type(op)]
    if straight.covers(op) and op.weights.codes.size <= _STRAIGHT_WEIGHTS[optimize]:
        return straight.DENSE if isinstance(op, Dense) else straight.CONV
    return buckets.DENSE if isinstance(op, Dense) else PRINTERS[Conv]
