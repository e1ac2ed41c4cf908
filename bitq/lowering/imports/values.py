"""What the names of a file stand for: constants, and values that depend on its input.

ONNX has recurrent layers read ``(time, batch, channels)`` and give ``(time, direction, batch, unit)``, and Keras
writes images channels last. So a value keeps the order of its axes apart from its node, whose first axis is the
batch: a chain of transposes, squeezes and reshapes costs nothing where it leads back to the order of torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from bitq.core.errors import DeployError

Order = tuple[int, ...]
_SAME = 1e-6  # two scales that differ by less are one, written in float32


@dataclass(frozen=True, eq=False)
class View:
    """How the axes of a value in the file come from those of its node.

    Attributes:
        held: the node's value of one row, without numbers.
        sizes: of the parts that the node's axes consist of; part 0 is the batch, alone in its axis.
        axes: for each axis in the file, the parts that it consists of.
        each: the values, one after the other, that part 1 counts, where they are at hand.
    """

    held: Tensor
    sizes: tuple[int, ...]
    axes: tuple[Order, ...]
    each: tuple[Flow, ...] = ()

    @classmethod
    def of(cls, example: Tensor) -> View:
        """Return the view of a value that is in the order of torch."""
        return cls(example, tuple(example.shape), tuple((axis,) for axis in range(example.dim())))

    @property
    def example(self) -> Tensor:
        """One row of the file's value, without numbers."""
        return torch.zeros([math.prod(self.sizes[p] for p in axis) for axis in self.axes], device="meta")

    @property
    def order(self) -> Order | None:
        """The node's axis that each of the file's is, None where they are not the same axes."""
        parts = [part for axis in self.axes for part in axis]
        alike = self.sizes == tuple(self.held.shape) and sorted(parts) == list(range(len(self.sizes)))
        return tuple(parts) if alike and len(parts) == len(self.axes) else None

    @property
    def batch(self) -> int:
        """The file's axis that is the batch.

        Raises:
            DeployError: it is none of its own.
        """
        found = [place for place, axis in enumerate(self.axes) if 0 in axis]
        if len(found) != 1 or any(self.sizes[part] > 1 for part in self.axes[found[0]]):
            raise DeployError("it moves the rows of a batch into another axis")
        return found[0]

    def permuted(self, order: Order) -> View:
        """Return it with the axes in another order."""
        return replace(self, axes=tuple(self.axes[axis] for axis in order))

    def batch_first(self) -> View:
        """Return it with the batch before the other axes."""
        return self.permuted((self.batch, *(axis for axis in range(len(self.axes)) if axis != self.batch)))

    def without(self, drop: set[int]) -> View:
        """Return it without some axes of one element."""
        if any(math.prod(self.sizes[part] for part in self.axes[axis]) != 1 for axis in drop):
            raise DeployError(f"it drops axes {sorted(drop)} of {tuple(self.example.shape)}, which are more than 1")
        if any(0 in self.axes[axis] for axis in drop):
            raise DeployError("it drops the batch")
        return replace(self, axes=tuple(axis for place, axis in enumerate(self.axes) if place not in drop))

    def widened(self, new: set[int]) -> View:
        """Return it with axes of one element at some places."""
        old = iter(self.axes)
        return replace(self, axes=tuple(() if i in new else next(old) for i in range(len(self.axes) + len(new))))

    def reshaped(self, shape: tuple[int, ...], batch: int | None) -> View | None:
        """Return it in another shape, None where that takes parts in two, or the batch with them.

        Args:
            shape: in one row.
            batch: the axis there that is the batch, None where any of one element may be.
        """
        parts = [part for axis in self.axes for part in axis if part == 0 or self.sizes[part] > 1]
        before, after = parts[: parts.index(0)], parts[parts.index(0) + 1 :]
        for place in [place for place, size in enumerate(shape) if size == 1 and batch in (None, place)]:
            ends = (self._filled(before, shape[:place]), self._filled(after, shape[place + 1 :]))
            if ends[0] is not None and ends[1] is not None:
                return replace(self, axes=(*ends[0], (0,), *ends[1]))
        return None

    def _filled(self, parts: list[int], shape: tuple[int, ...]) -> list[Order] | None:
        rest, axes = iter(parts), list[Order]()
        for size in shape:
            taken = list[int]()
            while math.prod(self.sizes[part] for part in taken) < size and (part := next(rest, None)) is not None:
                taken.append(part)
            if math.prod(self.sizes[part] for part in taken) != size:
                return None
            axes.append(tuple(taken))
        return axes if next(rest, None) is None else None


@dataclass(frozen=True, eq=False)
class Const:
    """A constant of the file.

    Attributes:
        array: its numbers; real ones are ``codes · scale`` where there are codes.
        codes: integers without zero point, of the same shape.
        scale: real value of one step, broadcasting over the codes.
    """

    array: NDArray[Any]
    codes: NDArray[np.int64] | None = None
    scale: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Flow:
    """A value that depends on the input: the file's tensor is ``node · factor + zero``.

    Attributes:
        node: in the torch graph.
        example: one row of the file's tensor without its numbers, of torch's device 'meta'.
        factor: 1 / scale for integers, 1 as a rule for real values.
        zero: their zero point.
        integers: whether the file holds integers there.
        view: how the file's axes come from those of the node, where they are others.
    """

    node: fx.Node
    example: Tensor
    factor: float = 1.0
    zero: float = 0.0
    integers: bool = False
    view: View | None = None

    @property
    def seen(self) -> View:
        """How the file's axes come from those of the node."""
        return self.view or View.of(self.example)

    def through(self, view: View) -> Flow:
        """Return the same numbers with the file's axes in another way."""
        plain = view.order == tuple(range(view.held.dim()))
        return (
            replace(self, example=view.held, view=None) if plain else replace(self, example=view.example, view=view)
        )


def same(a: float, b: float) -> bool:
    """Whether two scales are one."""
    return abs(a - b) <= _SAME * max(abs(a), abs(b))


def parts(weight: Const) -> list[Const]:
    """Return weights as a sum of as few 8-bit ones as it takes: one, unless a zero point makes them wider.

    ``w = Σᵢ ⌊(w + i) / k⌋`` over i = 0 … k − 1 (Hermite).
    """
    if weight.codes is None or weight.scale is None or (weight.codes.min() >= -128 and weight.codes.max() <= 127):
        return [weight]
    count = -(-int(np.abs(weight.codes).max()) // 127)
    codes = [(weight.codes + i) // count for i in range(count)]
    return [Const(part * weight.scale, part, weight.scale) for part in codes]
