"""Running a torch network over whole splits, and re-estimating its batch-norm statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.data.dataset import InputSpec

_BATCH = 1024


def to_float(x: NDArray[np.int8], spec: InputSpec) -> Tensor:
    """Return the real inputs ``(x − zero_point) · scale`` as float32."""
    return (torch.from_numpy(x).float() - spec.zero_point) * spec.scale


@torch.no_grad()
def outputs(
    model: nn.Module, x: NDArray[np.int8], spec: InputSpec, then: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Run a model on every row, in evaluation mode.

    Args:
        model: any network.
        x: int8 ``(n, *shape)``.
        spec: integer encoding of the inputs.
        then: from the outputs and the real inputs of a block of rows to what is to be kept of them.
    """
    model.eval()
    blocks = (to_float(x[i : i + _BATCH], spec) for i in range(0, len(x), _BATCH))
    return torch.cat([then(model(block), block) for block in blocks])


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, x: Tensor, batch: int = 500) -> None:
    """Replace all running statistics by averages over ``x``, forward only.

    Rounding shifts the statistics that a network was trained with; this repairs them (Nagel et al.,
    arXiv:2203.11086, section 4). Dropout stays off.

    Args:
        model: its batch-norm layers are updated in place.
        x: real inputs ``(n, *shape)``, at least two.
        batch: rows per forward pass, at least; every row has the same weight in the averages.
    """
    norms = norms_of(model)
    if not norms or len(x) < 2:
        return
    momenta: list[Any] = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    seen = 0
    for part in x.tensor_split(max(1, len(x) // batch)):
        seen += len(part)
        for norm in norms:
            norm.momentum = len(part) / seen  # the cumulative average over rows
        model(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def norms_of(model: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d]:
    """Return the batch-norm layers of a model, in its order."""
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)]
