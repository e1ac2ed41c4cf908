"""Decision trees in C: one table of nodes, one of leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import Constant, table
from bitq.codegen.ops.layer import Layer, Operand, Place, require
from bitq.ir.ops import Forest
from bitq.ir.types import INT8, INT16, TensorType

HEADER = "bitq_forest.h"


def forest(op: Forest, at: Place) -> Layer:
    """Print the trees."""
    x, constants = at.inputs[0], list[Constant]()
    words = packed_nodes(op, x.type)
    features = "NULL"
    if words is None:
        fits = x.type.dtype is INT16 and x.type.size <= 256
        named = f"{x.type.size} {x.type.dtype.name} features whose numbers its thresholds do not hold"
        require(op, fits, named, "at most 256 of INT16; or round the thresholds (`bitq.trees.rounding`)")
        words = op.thresholds
        constants.append(table(f"{at.symbol}_features", _numbered(op.features.astype(np.uint8))))
        features = constants[-1].name
    nodes = table(f"{at.symbol}_nodes", _numbered(words))
    leaves = table(f"{at.symbol}_leaves", packed_leaves(op))
    kind = "votes" if op.votes else "sums" if op.leaves.shape[-1] == op.scores > 1 else "turns"
    fields = {
        "nodes": nodes.name,
        "features": features,
        "leaves": leaves.name,
        "leaf_bits": f"{op.leaf_bits}u",
        "trees": f"{len(op.leaves)}u",
        "depth": f"{op.depth}u",
        "scores": f"{op.scores}u",
        "index_mask": f"{(1 << index_bits(x.type)) - 1}u",
        "element": _element(x),
    }
    text = ",\n".join(f"            .{name} = {value}" for name, value in fields.items())
    first = f", {op.first}u" if kind == "turns" else ""
    call = (
        f"bitq_forest_{kind}(\n        &(const bitq_forest){{\n{text},\n        }},\n"
        f"        {x.expression}, {at.y}{first});"
    )
    return Layer(op, (*constants, nodes, leaves), call, (HEADER,))


def index_bits(x: TensorType) -> int:
    """Return the low bits of a threshold that hold the number of a feature."""
    return max(1, (x.size - 1).bit_length())


def packed_nodes(op: Forest, x: TensorType) -> NDArray[np.int16] | None:
    """Return thresholds whose low bits name the feature, with no comparison changed; None where they cannot.

    A feature of 8 bits is compared in the high byte of 16 bits; below it lies room for the number.
    """
    bits = index_bits(x)
    features = op.features.astype(np.int64)
    wide = op.thresholds.astype(np.int64)
    if x.dtype is not INT16:
        # A feature is a multiple of 256, so the low byte of a threshold is free.
        centre = 0 if x.dtype is INT8 else 128
        wide = (wide - centre << 8) + (features & 255)
    fits = bits < 16 and bool((wide & ((1 << bits) - 1) == features).all())
    return wide.astype(np.int16) if fits else None


def packed_leaves(op: Forest) -> NDArray[np.uint8] | NDArray[np.int8] | NDArray[np.int16]:
    """Return the leaves as a table: several votes in a byte, the lowest bits first, or values of 8 or 16 bits."""
    flat = op.leaves.ravel()
    if not op.votes:
        return flat.astype(np.int8) if op.leaf_bits == 8 else flat
    per_byte = 8 // op.vote_bits
    padded = np.pad(flat.astype(np.uint8), (0, -len(flat) % per_byte)).reshape(-1, per_byte)
    return (padded << (np.arange(per_byte, dtype=np.uint8) * op.vote_bits)).sum(axis=1).astype(np.uint8)


def _element(x: Operand) -> str:
    if x.type.dtype is INT16:
        return "BITQ_FOREST_INT16"
    return "BITQ_FOREST_INT8" if x.flip else "BITQ_FOREST_BYTE"


def _numbered(nodes: NDArray[Any]) -> NDArray[Any]:
    # The nodes of a tree count from 1.
    return np.concatenate([np.zeros(1, nodes.dtype), nodes.ravel()])
