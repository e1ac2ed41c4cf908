"""What lowering functions share: the inputs of a node, shapes, geometry, and the one way to refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, fx

from bitq.core.errors import DeployError
from bitq.ir.ops import Pair
from bitq.lowering.builder import Builder, Stored
from bitq.lowering.fixed import Reals


def require(holds: bool, layer: str, what: str) -> None:
    """Refuse a module.

    Raises:
        DeployError: names its path, and what is not covered.
    """
    if not holds:
        raise DeployError(f"layer '{layer}' cannot be lowered: {what}.")


def source(node: fx.Node) -> fx.Node:
    """Return the node that a call reads."""
    first = node.args[0]
    assert isinstance(first, fx.Node)
    return first


def operands(builder: Builder, node: fx.Node) -> list[Stored]:
    """Return everything that a call reads."""
    return [builder.stored(value) for value in node.args if isinstance(value, fx.Node)]


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return torch's ``(c, h, w)`` as ``(h, w, c)``, ``(c, t)`` as ``(1, t, c)`` and ``(f,)`` as it is."""
    match shape:
        case (channels, height, width):
            return (height, width, channels)
        case (channels, time):
            return (1, time, channels)
        case _:
            return shape


def pair(size: Any) -> Pair:
    """Return a size of torch as (vertical, horizontal); a single one is vertically 1 if it comes as a tuple."""
    if isinstance(size, int):
        return size, size
    values = tuple(size)
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def window(size: Any, x: Stored) -> Pair:
    """Return a kernel or stride; on a sequence it is vertically 1."""
    vertical, horizontal = pair(size)
    return (vertical, horizontal) if len(x.shape) == 3 else (1, horizontal)


def order(value: Stored) -> tuple[int, ...]:
    """Return the shape that decides the order of a value's elements; a vector's order is its own."""
    shape = value.flat_from or value.shape
    return shape if int(np.prod(shape[1:])) > 1 else shape[:1]


def real(values: Tensor | None) -> Reals:
    """Return a tensor in float64."""
    assert values is not None
    return values.detach().cpu().double().numpy()
