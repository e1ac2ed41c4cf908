"""Pools in torch."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor

from bitq.sim.exact import centred, dtype_for
from bitq.sim.ops.operation import Operation, Rescaled, channels_last, image, pad


class MaxPool(Operation):
    """`bitq.ir.ops.MaxPool`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        x = pad(inputs[0], self.op.padding, float(self.types[0].dtype.low))
        return channels_last(F.max_pool2d(image(x), self.op.kernel, self.op.stride))


class AvgPool(Rescaled):
    """`bitq.ir.ops.AvgPool`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        x = image(centred(inputs[0].to(dtype_for(self.magnitude)), self.types[0]))
        sums = F.avg_pool2d(x, self.op.kernel, self.op.stride, divisor_override=1)
        return self.finish(channels_last(sums))
