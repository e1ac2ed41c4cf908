"""What every simulated operation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bitq.ir.ops import Op
from bitq.ir.types import TensorType
from bitq.sim.exact import Rescaler


class Operation(nn.Module, ABC):
    """An operation of the graph: integers in, integers out, in the shapes of the graph (channels last).

    Values of 8 and 16 bits are float32, wider ones float64.

    Attributes:
        op: what it simulates.
        types: of its inputs.
    """

    def __init__(self, op: Any, types: tuple[TensorType, ...]) -> None:
        super().__init__()
        self.op = op
        self.types = types

    @abstractmethod
    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it on ``(n, *shape)``."""

    def trained(self) -> Op:
        """Return the operation with what was trained, as integers again."""
        result: Op = self.op
        return result


class Rescaled(Operation):
    """An operation that ends in a rescale of a sum, with bounds that training does not change."""

    def __init__(self, op: Any, types: tuple[TensorType, ...]) -> None:
        super().__init__(op, types)
        self.rescaler = Rescaler(op.rescale)
        bounds = op.accumulators(*types)[0]
        self.low, self.high = int(bounds.low.min()), int(bounds.high.max())
        self.magnitude = int(bounds.magnitude)

    def finish(self, accumulator: Tensor) -> Tensor:
        """Return the output from the sum."""
        return self.rescaler(accumulator.double(), self.low, self.high)

    def trained(self) -> Op:
        """Return the operation with its trained multipliers."""
        return replace(self.op, rescale=self.rescaler.trained(self.low, self.high))


def image(x: Tensor) -> Tensor:
    """Return ``(n, h, w, c)`` as torch's ``(n, c, h, w)``, a view."""
    return x.permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """Return torch's ``(n, c, h, w)`` as ``(n, h, w, c)``, a view."""
    return x.permute(0, 2, 3, 1)


def pad(x: Tensor, padding: tuple[tuple[int, int], tuple[int, int]], value: float = 0.0) -> Tensor:
    """Return ``(n, h, w, c)`` with a border."""
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return x
    return torch.nn.functional.pad(x, (0, 0, left, right, top, bottom), value=value)
