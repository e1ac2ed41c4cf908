"""The table of all operations in C."""

from __future__ import annotations

from bitq.codegen.ops.arg_max import arg_max
from bitq.codegen.ops.branches import add, concat, mul, squared_error
from bitq.codegen.ops.conv import conv
from bitq.codegen.ops.conv import scratch as conv_scratch
from bitq.codegen.ops.dense import dense
from bitq.codegen.ops.features import features
from bitq.codegen.ops.forest import forest
from bitq.codegen.ops.moves import pad, view
from bitq.codegen.ops.pointwise import lookup, ramp
from bitq.codegen.ops.pool import avg_pool, max_pool, requantize
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.recurrent import recurrent
from bitq.codegen.ops.recurrent import scratch as recurrent_scratch
from bitq.ir import ops as ir

PRINTERS: dict[type[ir.Op], Printer] = {
    ir.Add: Printer(add),
    ir.ArgMax: Printer(arg_max),
    ir.AvgPool: Printer(avg_pool),
    ir.Concat: Printer(concat),
    ir.Conv: Printer(conv, conv_scratch),
    ir.Dense: Printer(dense),
    ir.Features: Printer(features),
    ir.Forest: Printer(forest),
    ir.Lookup: Printer(lookup),
    ir.MaxPool: Printer(max_pool),
    ir.Mul: Printer(mul),
    ir.Pad: Printer(pad),
    ir.Ramp: Printer(ramp),
    ir.Recurrent: Printer(recurrent, recurrent_scratch),
    ir.Requantize: Printer(requantize),
    ir.SquaredError: Printer(squared_error),
    ir.View: Printer(view),
}
"""One row per operation; a Reshape does no work, its value shares the buffer of its input."""
