"""Interval analysis over the actual weights: proves that no accumulator and no product can overflow int32.

The bounds of a single operation stand beside it in `bitq.ir.ops`.
"""

from __future__ import annotations

from bitq.core.errors import RangeError
from bitq.ir.graph import Graph
from bitq.ir.ops import Accumulator, Op
from bitq.ir.types import INT32_MAX


def prove(graph: Graph) -> dict[str, tuple[Accumulator, ...]]:
    """Prove that every intermediate value of a graph fits in int32.

    Returns:
        The accumulators of every operation, by its name.

    Raises:
        RangeError: names the layer, what it may reach and how many bits that takes.
    """
    types = graph.types()
    proved: dict[str, tuple[Accumulator, ...]] = {}
    for op in graph.ops:
        proved[op.name] = op.accumulators(*(types[name] for name in op.inputs))
        for accumulator in proved[op.name]:
            what = " ".join(filter(None, ("its", accumulator.part, "accumulator")))
            _require(accumulator.magnitude, op, what)
            _require(accumulator.product_magnitude, op, f"{what} times multiplier")
    return proved


def _require(magnitude: int, op: Op, what: str) -> None:
    if magnitude > INT32_MAX:
        raise RangeError(
            f"layer {op.layer or op.name}: {what} may reach ±{magnitude}, which takes {magnitude.bit_length() + 1} "
            "bits; int32 is allowed. Use fewer inputs per output or fewer weight bits there."
        )
