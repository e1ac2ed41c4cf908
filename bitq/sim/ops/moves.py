"""Operations in torch that move or choose values and compute nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from bitq.sim.ops.operation import Operation


class Concat(Operation):
    """`bitq.ir.ops.Concat`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return torch.cat(inputs, dim=-1)


class Flatten(Operation):
    """`bitq.ir.ops.Flatten`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return inputs[0].flatten(1)


class ArgMax(Operation):
    """`bitq.ir.ops.ArgMax`; it has no gradient."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return inputs[0].flatten(1).argmax(dim=1, keepdim=True).double()
