"""Operations in torch that take every element by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bitq.ir.types import TensorType
from bitq.sim.exact import centred, tensor
from bitq.sim.ops.operation import Operation, Rescaled


class Requantize(Rescaled):
    """`bitq.ir.ops.Requantize`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        return self.finish(centred(inputs[0], self.types[0]))


class Add(Rescaled):
    """`bitq.ir.ops.Add`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        first, second = (centred(x.double(), kind) for x, kind in zip(inputs, self.types, strict=True))
        return self.finish(first * self.op.multipliers[0] + second * self.op.multipliers[1])


class SquaredError(Operation):
    """The sum of squared differences, in float64."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        first, second = (x.flatten(1).double() for x in inputs)
        return (first - second).square().sum(dim=1, keepdim=True)


class Mul(Rescaled):
    """`bitq.ir.ops.Mul`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        first, second = (centred(x, kind) for x, kind in zip(inputs, self.types, strict=True))
        return self.finish(first * second)


class Ramp(Rescaled):
    """`bitq.ir.ops.Ramp`."""

    positive: Tensor
    negative: Tensor
    offset: Tensor

    def __init__(self, op: Any, types: tuple[TensorType, ...]) -> None:
        super().__init__(op, types)
        for name in ("positive", "negative", "offset"):
            self.register_buffer(name, tensor(getattr(op, name)))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        x = centred(inputs[0].double(), self.types[0])
        return self.finish(x * torch.where(x >= 0, self.positive, self.negative) + self.offset)


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        index, table, slope = args
        ctx.save_for_backward(slope[index.long()])
        result: Tensor = table[index.long()]
        return result

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return grad_outputs[0] * ctx.saved_tensors[0], None, None


class Lookup(Operation):
    """`bitq.ir.ops.Lookup`; its gradient is the slope between the neighbours of an entry."""

    table: Tensor
    slope: Tensor

    def __init__(self, op: Any, types: tuple[TensorType, ...]) -> None:
        super().__init__(op, types)
        table = tensor(op.table, torch.float32)
        self.register_buffer("table", table)
        self.register_buffer("slope", torch.gradient(table)[0])

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        result: Tensor = _Lookup.apply(inputs[0] - self.types[0].dtype.low, self.table, self.slope)
        return result
