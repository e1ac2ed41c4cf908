"""Operations in torch that move or choose values and compute nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bitq.ir.types import TensorType
from bitq.sim.ops.operation import Operation, pad


class Concat(Operation):
    """`bitq.ir.ops.Concat`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return torch.cat(inputs, dim=-1)


class Reshape(Operation):
    """`bitq.ir.ops.Reshape`, `Flatten` among them."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return inputs[0].reshape(len(inputs[0]), *self.op.out.shape)


class View(Operation):
    """`bitq.ir.ops.View`."""

    index: Tensor

    def __init__(self, op: Any, types: tuple[TensorType, ...]) -> None:
        super().__init__(op, types)
        self.register_buffer("index", torch.from_numpy(op.index))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return inputs[0].flatten(1)[:, self.index].reshape(len(inputs[0]), *self.op.out.shape)


class Pad(Operation):
    """`bitq.ir.ops.Pad`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return pad(inputs[0], self.op.padding, float(self.op.value))


class ArgMax(Operation):
    """`bitq.ir.ops.ArgMax`; it has no gradient."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return inputs[0].flatten(1).argmax(dim=1, keepdim=True).double()
