"""One node of an ONNX file, with its attributes and constants at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.core.errors import DeployError
from bitq.lowering.imports.importer import Importer
from bitq.lowering.imports.values import Const, Flow, Order


@dataclass(frozen=True, eq=False)
class Call:
    """A node.

    Attributes:
        into: the torch module that grows.
        name: for the layer.
        kind: the operator.
        inputs: names of tensors, '' for one that is left out.
        outputs: the same of what it gives.
        attributes: as plain values.
        version: of the operator set.
        last: whether it gives an output of the file.
    """

    into: Importer
    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    version: int
    last: bool

    def refuse(self, what: str) -> NoReturn:
        """Refuse it; the caller names the node.

        Raises:
            DeployError: always.
        """
        raise DeployError(what)

    def require(self, holds: bool, what: str) -> None:
        """Refuse it unless something holds."""
        if not holds:
            self.refuse(what)

    def has(self, place: int) -> bool:
        """Whether an input is there."""
        return len(self.inputs) > place and self.inputs[place] != ""

    def tensor(self, place: int) -> Const | Flow:
        """Return an input, whatever it is."""
        return self.into.tensors[self.inputs[place]]

    def const(self, place: int) -> Const:
        """Return a constant input."""
        return self.into.const(self.inputs[place])

    def array(self, place: int) -> NDArray[Any]:
        """Return the numbers of a constant input."""
        return self.const(place).array

    def number(self, place: int) -> float:
        """Return a constant input of one element."""
        array = self.array(place)
        self.require(array.size == 1, f"input {place} has {array.size} elements; one for the whole tensor is covered")
        return float(array.astype(np.float64).reshape(-1)[0])

    def integers(self, name: str, place: int | None = None) -> list[int] | None:
        """Return a list that is an attribute or, in newer operator sets, an input."""
        if place is not None and self.has(place):
            return [int(value) for value in self.array(place).reshape(-1)]
        value = self.attributes.get(name)
        return None if value is None else [int(item) for item in value]

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def real(self, place: int) -> Flow:
        """Return an input that depends on the file's input, as real numbers, its axes in the order of the file."""
        return self.into.real(self.inputs[place])

    def flow(self, place: int) -> Flow:
        """Return an input that depends on the file's input, its axes in whatever order its node has them."""
        value = self.tensor(place)
        return self.into.flow(self.inputs[place]) if isinstance(value, Const) else value

    def moved(self, place: int) -> tuple[Flow, Order]:
        """Return an input as real numbers in the order of its node, and which of the file's axes each axis is."""
        view = self.flow(place).seen
        if view.order is None:
            order = (view.batch, *(axis for axis in range(len(view.axes)) if axis != view.batch))
        else:
            order = tuple(view.order.index(axis) for axis in range(len(view.order)))
        return self.into.real(self.inputs[place], order), order

    def back(self, value: Flow, order: Order) -> Flow:
        """Return a value whose axes are some of the file's, by number, in the order of the file."""
        return value.through(value.seen.permuted(tuple(order.index(axis) for axis in sorted(order))))

    def each(self, module: nn.Module) -> Flow:
        """Add a module that takes every element of the first input by itself, in whatever order they are."""
        x, order = self.moved(0)
        return self.back(self.into.call(self.name, module, x), order)


Handler = Callable[[Call], Const | Flow | tuple[Const | Flow, ...]]


def per_channel(call: Call, values: NDArray[Any], example: Tensor, axis: int = 1) -> NDArray[np.float64]:
    """Return a constant that is combined with a value element by element as one number per place of an axis.

    Raises:
        DeployError: it varies along another axis.
    """
    shape = tuple(example.shape)
    try:
        spread = np.moveaxis(np.broadcast_to(values.astype(np.float64), shape), axis, 0).reshape(shape[axis], -1)
    except ValueError:
        call.refuse(f"a constant {values.shape} does not go with a value {shape}")
    call.require(bool((spread == spread[:, :1]).all()), "its constant varies along another axis than the channels")
    return spread[:, 0].copy()
