"""Operations in torch that take every element by itself."""

from __future__ import annotations

from torch import Tensor

from bitq.sim.exact import centred
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
