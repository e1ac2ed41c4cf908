"""Random small distortions of images, drawn anew for every batch.

Rotation, scaling, shear and shift as one affine map per image, read bilinearly; what comes from outside the image is
its own nearest border.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor

ROTATION = math.radians(9.0)
SCALING = 0.08
SHEAR = 0.08
SHIFT = 1.2  # pixels


def distort(x: Tensor, amount: float, random: torch.Generator) -> Tensor:
    """Return images, each moved by an affine map of its own.

    Args:
        x: ``(n, channels, height, width)``.
        amount: factor on the ranges: at 1, up to 9° of rotation, 8 % of scale, 0.08 of shear and 1.2 pixels of shift,
            each uniform to both sides.
        random: source of the maps, so that a repeated training sees the same images.
    """
    n, _, height, width = x.shape

    def within(limit: float) -> Tensor:
        return (torch.rand(n, generator=random) * 2.0 - 1.0) * (limit * amount)

    angle, scale, shear = within(ROTATION), 1.0 + within(SCALING), within(SHEAR)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    across, down = within(2.0 * SHIFT / width), within(2.0 * SHIFT / height)
    maps = torch.stack([cos, shear * cos - sin, across, sin, shear * sin + cos, down], dim=1).reshape(n, 2, 3)
    grid = F.affine_grid(maps, [n, 1, height, width], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
