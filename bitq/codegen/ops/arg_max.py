"""The index of the largest element in C."""

from __future__ import annotations

from bitq.codegen.ops.layer import Layer, Place
from bitq.ir.ops import ArgMax
from bitq.ir.types import INT32


def arg_max(op: ArgMax, at: Place) -> Layer:
    """Print an ArgMax: an assignment to the returned variable, or to its place in memory."""
    x = at.inputs[0]
    wide = x.type.dtype is INT32
    runtime = "bitq_argmax" if wide else "bitq_argmax_bytes"
    value = f"{runtime}({x.expression}, {x.type.size}{'' if wide else f', {x.flip}'})"
    return Layer(op, (), f"{'winner' if at.returned else f'*({at.y})'} = {value};", (runtime,))
