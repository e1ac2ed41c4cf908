"""Every working operation of a graph as C, by the printer that was chosen for it."""

from __future__ import annotations

import re

from bitq.codegen.ops.layer import Layer, Place
from bitq.codegen.storage import Storage
from bitq.ir.ops import Op


def layers(storage: Storage) -> tuple[Layer, ...]:
    """Turn every working operation of a graph into C.

    Raises:
        DeployError: a dimension or a clamp is beyond what the runtime's structures hold; names the layer.
    """
    return tuple(
        storage.printers[op.name].layer(op, _place(op, f"{storage.graph.name}_{symbol}", storage))
        for op, symbol in symbols(storage)
    )


def _place(op: Op, symbol: str, storage: Storage) -> Place:
    inputs = tuple(storage.operand(name) for name in op.inputs)
    if op.name == storage.returned:
        return Place(symbol, inputs, "&winner", storage.scratch(op), returned=True)
    return Place(symbol, inputs, storage.expression(op.name), storage.scratch(op))


def symbols(storage: Storage) -> list[tuple[Op, str]]:
    """Return each operation with a short C identifier of its own."""
    taken: set[str] = set()
    named: list[tuple[Op, str]] = []
    for op in storage.ops:
        base = re.sub(r"[^a-z0-9]+", "_", op.name.lower()).strip("_")[:24] or "op"
        symbol, number = base, 2
        while symbol in taken:
            symbol, number = f"{base}_{number}", number + 1
        taken.add(symbol)
        named.append((op, symbol))
    return named
