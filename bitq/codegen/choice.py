"""Which of its forms in C each operation takes: the smallest, the fastest, or what is worth its flash."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bitq.codegen.ops import buckets, comparisons, direct, pairs, quads, recurrent, signs, straight
from bitq.codegen.ops.pool import HALVE, MEAN
from bitq.codegen.ops.printer import Printer, by_core
from bitq.codegen.ops.table import PRINTERS
from bitq.core.errors import DeployError
from bitq.ir.ops import AvgPool, Conv, Dense, Forest, Op, Recurrent, Requantize
from bitq.ir.types import INT8, TensorType

OPTIMIZE = ("size", "balanced", "speed")
"""What may decide: flash, both, or instructions."""

# Weights, or splits of trees, up to which a form pays.
_CONV_AS_CODE = {"balanced": 700, "speed": 2000}
_CELL_AS_CODE = {"balanced": 600, "speed": 2000}
_TREES_AS_CODE = {"speed": 1000}
_DENSE_AS_CODE = 100
_DENSE_AS_LOOP = 1000


def step_of(op: Recurrent, state: str, optimize: str) -> Printer:
    """Return how one step of a recurrent layer is printed, whose state is a field of the caller's."""
    most = _CELL_AS_CODE.get(optimize, 0)
    return Printer(partial(recurrent.step, state=state, most=most), recurrent.step_scratch)


def printer_of(op: Op, inputs: Sequence[TensorType], optimize: str) -> Printer:
    """Return how an operation is printed.

    Args:
        op: the operation.
        inputs: types of what it reads.
        optimize: one of `OPTIMIZE`.

    Raises:
        DeployError: ``optimize`` is none of `OPTIMIZE`.
    """
    if optimize not in OPTIMIZE:
        raise DeployError(f"optimize is '{optimize}'; allowed: {', '.join(OPTIMIZE)}.")
    if isinstance(op, Forest) and comparisons.covers(op, _TREES_AS_CODE.get(optimize, 0)):
        return comparisons.FOREST
    if isinstance(op, direct.BorderedRequantize):
        return direct.BORDERED
    if isinstance(op, AvgPool | Requantize) and optimize != "size":
        return MEAN if isinstance(op, AvgPool) else HALVE
    if optimize == "size" or not isinstance(op, Conv | Dense | Recurrent):
        return PRINTERS[type(op)]
    if isinstance(op, Recurrent):
        most = _CELL_AS_CODE[optimize]
        return Printer(partial(recurrent.recurrent, most=most), recurrent.scratch)
    size = op.weights.codes.size
    if isinstance(op, Dense):
        if signs.covers(op, inputs[0]):
            return signs.DENSE
        if quads.covers(op):
            return quads.DENSE
        # A dense layer uses each weight once, so code or buckets of its own have to be small or pay at once.
        if size <= _DENSE_AS_CODE and straight.covers(op):
            return straight.DENSE
        # A byte of weights for each input is no less than the loop over bytes has to read.
        return PRINTERS[Dense] if size <= _DENSE_AS_LOOP or op.weights.dtype is INT8 else buckets.DENSE
    if size > _CONV_AS_CODE[optimize] or not pairs.covers(op):
        printer = PRINTERS[type(op)]
    else:
        printer = direct.CONV if direct.covers(op) else pairs.CONV
    # The loop over signs is faster than code where four products take two instructions, and smaller for many weights.
    if size > _CONV_AS_CODE["balanced"] and signs.covers_conv(op, inputs[0]):
        return by_core(signs.CONV, printer)
    return printer
