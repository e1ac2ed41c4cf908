"""The table of all operations in torch."""

from __future__ import annotations

from bitq.ir import ops as ir
from bitq.sim.ops.linear import Conv, Dense
from bitq.sim.ops.moves import ArgMax, Concat, Pad, Reshape, View
from bitq.sim.ops.operation import Operation
from bitq.sim.ops.pointwise import Add, Lookup, Mul, Ramp, Requantize, SquaredError
from bitq.sim.ops.pools import AvgPool, MaxPool
from bitq.sim.ops.recurrent import Recurrent
from bitq.sim.ops.trees import ByReference

OPERATIONS: dict[type[ir.Op], type[Operation]] = {
    ir.Add: Add,
    ir.ArgMax: ArgMax,
    ir.AvgPool: AvgPool,
    ir.Concat: Concat,
    ir.Conv: Conv,
    ir.Dense: Dense,
    ir.Features: ByReference,
    ir.Flatten: Reshape,
    ir.Forest: ByReference,
    ir.Lookup: Lookup,
    ir.MaxPool: MaxPool,
    ir.Mul: Mul,
    ir.Pad: Pad,
    ir.Ramp: Ramp,
    ir.Recurrent: Recurrent,
    ir.Requantize: Requantize,
    ir.Reshape: Reshape,
    ir.SquaredError: SquaredError,
    ir.View: View,
}
"""One row per operation."""
