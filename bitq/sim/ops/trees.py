"""What is no arithmetic of real numbers, by the reference itself: nothing here learns by gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bitq.sim.ops.operation import Operation


class ByReference(Operation):
    """Decision trees, and the statistics that they read."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it; no gradient passes."""
        integers = [x.detach().numpy().astype(np.int64) for x in inputs]
        return torch.from_numpy(self.op.evaluate(integers, self.types)).double()
