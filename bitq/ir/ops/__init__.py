"""The operations of the integer graph: one file each, with its rules, its bounds and its meaning.

A line here is all that makes an operation known; `tests/ir/test_ops.py` says what else the project asks of it.
"""

import inspect

from bitq.ir.ops.add import Add as Add
from bitq.ir.ops.arg_max import ArgMax as ArgMax
from bitq.ir.ops.avg_pool import AvgPool as AvgPool
from bitq.ir.ops.base import NO_PADDING as NO_PADDING
from bitq.ir.ops.base import Accumulator as Accumulator
from bitq.ir.ops.base import Op as Op
from bitq.ir.ops.base import Pair as Pair
from bitq.ir.ops.base import Values as Values
from bitq.ir.ops.concat import Concat as Concat
from bitq.ir.ops.conv import Conv as Conv
from bitq.ir.ops.dense import Dense as Dense
from bitq.ir.ops.features import Features as Features
from bitq.ir.ops.forest import Forest as Forest
from bitq.ir.ops.linear import Linear as Linear
from bitq.ir.ops.lookup import Lookup as Lookup
from bitq.ir.ops.max_pool import MaxPool as MaxPool
from bitq.ir.ops.mul import Mul as Mul
from bitq.ir.ops.pad import Pad as Pad
from bitq.ir.ops.ramp import Ramp as Ramp
from bitq.ir.ops.recurrent import Recurrent as Recurrent
from bitq.ir.ops.requantize import Requantize as Requantize
from bitq.ir.ops.reshape import Flatten as Flatten
from bitq.ir.ops.reshape import Reshape as Reshape
from bitq.ir.ops.squared_error import SquaredError as SquaredError
from bitq.ir.ops.view import View as View


def _concrete(kind: type[Op]) -> list[type[Op]]:
    found = [] if inspect.isabstract(kind) else [kind]
    return found + [other for sub in kind.__subclasses__() for other in _concrete(sub)]


OPS: tuple[type[Op], ...] = tuple(sorted(_concrete(Op), key=lambda kind: kind.__name__))
"""Every operation of the graph, by name."""
