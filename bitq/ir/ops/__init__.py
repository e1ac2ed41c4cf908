"""The operations of the integer graph: one file each, with its rules, its bounds and its meaning."""

from bitq.ir.ops.add import Add
from bitq.ir.ops.arg_max import ArgMax
from bitq.ir.ops.avg_pool import AvgPool
from bitq.ir.ops.base import NO_PADDING, Accumulator, Op, Pair, Values
from bitq.ir.ops.concat import Concat
from bitq.ir.ops.conv import Conv
from bitq.ir.ops.dense import Dense
from bitq.ir.ops.features import Features
from bitq.ir.ops.forest import Forest
from bitq.ir.ops.linear import Linear
from bitq.ir.ops.lookup import Lookup
from bitq.ir.ops.max_pool import MaxPool
from bitq.ir.ops.mul import Mul
from bitq.ir.ops.pad import Pad
from bitq.ir.ops.ramp import Ramp
from bitq.ir.ops.recurrent import Recurrent
from bitq.ir.ops.requantize import Requantize
from bitq.ir.ops.reshape import Flatten, Reshape
from bitq.ir.ops.squared_error import SquaredError
from bitq.ir.ops.view import View

OPS: tuple[type[Op], ...] = (
    Add,
    ArgMax,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Features,
    Flatten,
    Forest,
    Lookup,
    MaxPool,
    Mul,
    Pad,
    Ramp,
    Recurrent,
    Requantize,
    Reshape,
    SquaredError,
    View,
)
"""Every operation; `tests/ir/test_ops.py` asks of each what the rest of the project needs to know of it."""

__all__ = [
    "NO_PADDING",
    "OPS",
    "Accumulator",
    "Add",
    "ArgMax",
    "AvgPool",
    "Concat",
    "Conv",
    "Dense",
    "Features",
    "Flatten",
    "Forest",
    "Linear",
    "Lookup",
    "MaxPool",
    "Mul",
    "Op",
    "Pad",
    "Pair",
    "Ramp",
    "Recurrent",
    "Requantize",
    "Reshape",
    "SquaredError",
    "Values",
    "View",
]
