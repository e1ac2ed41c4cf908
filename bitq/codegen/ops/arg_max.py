"""The index of the largest element in C."""

from __future__ import annotations

from bitq.codegen.ops.layer import Layer, Place
from bitq.ir.ops import ArgMax
from bitq.ir.types import INT32

_FEW = 3
"""Scores up to which comparisons are no longer than a call and the function."""


def arg_max(op: ArgMax, at: Place) -> Layer:
    """Print an ArgMax: an assignment to the returned variable, or to its place in memory."""
    x = at.inputs[0]
    result = "winner" if at.returned else f"*({at.y})"
    if x.type.dtype is not INT32:
        call = f"{result} = bitq_argmax_bytes({x.expression}, {x.type.size}, {x.flip});"
        return Layer(op, (), call, ("bitq_argmax_bytes",))
    if x.type.size > _FEW:
        return Layer(op, (), f"{result} = bitq_argmax({x.expression}, {x.type.size});", ("bitq_argmax",))
    y = x.expression if x.expression.isidentifier() else f"({x.expression})"
    lines = [f"{result} = 0;"]
    lines += [f"{result} = {y}[{k}] > {y}[{result}] ? {k} : {result};" for k in range(1, x.type.size)]
    return Layer(op, (), "\n    ".join(lines), ())
