"""The table of all operations in C."""

from __future__ import annotations

from bitq.codegen.ops.arg_max import arg_max
from bitq.codegen.ops.branches import add, concat, squared_error
from bitq.codegen.ops.conv import conv
from bitq.codegen.ops.conv import scratch as conv_scratch
from bitq.codegen.ops.dense import dense
from bitq.codegen.ops.dense import scratch as dense_scratch
from bitq.codegen.ops.pool import avg_pool, max_pool, requantize
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.recurrent import recurrent
from bitq.codegen.ops.recurrent import scratch as recurrent_scratch
from bitq.ir.ops import Add, ArgMax, AvgPool, Concat, Conv, Dense, MaxPool, Op, Recurrent, Requantize, SquaredError

PRINTERS: dict[type[Op], Printer] = {
    Add: Printer(add),
    ArgMax: Printer(arg_max),
    AvgPool: Printer(avg_pool),
    Concat: Printer(concat),
    Conv: Printer(conv, conv_scratch),
    Dense: Printer(dense, dense_scratch),
    MaxPool: Printer(max_pool),
    Recurrent: Printer(recurrent, recurrent_scratch),
    Requantize: Printer(requantize),
    SquaredError: Printer(squared_error),
}
"""One row per operation; a Flatten does no work, its value shares the buffer of what it flattens."""
