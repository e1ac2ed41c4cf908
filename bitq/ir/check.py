"""The rules that a valid graph obeys; a broken one is refused by the name of the node and of the rule.

What a single operation asks of its inputs stands beside it in `bitq.ir.ops`.
"""

from __future__ import annotations

import re

from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax
from bitq.ir.ops.rules import rule, shape_fits, zero_point_fits
from bitq.ir.types import INT8, INT16, INT32


def check(graph: Graph) -> Graph:
    """Return the graph if it obeys every rule.

    Raises:
        DeployError: names the node, the rule and the values that break it.
    """
    rule(
        re.fullmatch(r"[a-z][a-z0-9_]{0,30}", graph.name) is not None,
        graph.name,
        "the name is a C identifier",
    )
    rule(graph.input.dtype in (INT8, INT16), "input", "the caller's input is INT8 or INT16")
    shape_fits(graph.input_name, graph.input)
    zero_point_fits(graph.input_name, graph.input)
    types = {graph.input_name: graph.input}
    for op in graph.ops:
        rule(op.name not in types, op.name, "every value is assigned once")
        missing = [name for name in op.inputs if name not in types]
        rule(not missing, op.name, f"inputs exist before they are read (missing: {', '.join(missing)})")
        inputs = [types[name] for name in op.inputs]
        shape_fits(op.name, op.out)
        op.check(*inputs)
        shape = op.infer_shape(*inputs)
        rule(op.out.shape == shape, op.name, f"its output is {shape}, declared {op.out.shape}")
        zero_point_fits(op.name, op.out)
        types[op.name] = op.out
    rule(bool(graph.outputs), graph.name, "a graph has an output")
    for name in graph.outputs:
        rule(name in types and types[name].dtype is INT32, name, "outputs exist and are INT32")
    if graph.winner is not None:
        arg_max = {op.name for op in graph.ops if isinstance(op, ArgMax)}
        rule(graph.winner in arg_max, graph.winner, "the winner is an ArgMax of the graph")
    return graph
