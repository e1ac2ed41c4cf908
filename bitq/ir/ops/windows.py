"""Windows that slide over an image: how many fit, and a view of all of them."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bitq.ir.ops.base import Op, Pair, Values
from bitq.ir.ops.rules import rule
from bitq.ir.types import TensorType


def slide(op: Op, x: TensorType, kernel: Pair, stride: Pair, padding: tuple[Pair, Pair]) -> Pair:
    """Return the places ``(height, width)`` at which a window fits."""
    rule(len(x.shape) == 3, op.name, f"its input is (height, width, channels), got {x.shape}")
    rule(min(*kernel, *stride) >= 1, op.name, f"kernel and stride are at least 1, got {kernel} and {stride}")
    rule(min(*padding[0], *padding[1]) >= 0, op.name, f"padding is not negative, got {padding}")
    height = (x.shape[0] + sum(padding[0]) - kernel[0]) // stride[0] + 1
    width = (x.shape[1] + sum(padding[1]) - kernel[1]) // stride[1] + 1
    rule(height > 0 and width > 0, op.name, f"the kernel {kernel} fits into the padded input {x.shape}")
    return height, width


def windows(x: Values, kernel: Pair, stride: Pair) -> Values:
    """Return every window of ``(n, h, w, channels)`` as ``(n, out_h, out_w, kernel_h, kernel_w, channels)``."""
    view = sliding_window_view(x, kernel, axis=(1, 2))[:, :: stride[0], :: stride[1]]
    return np.moveaxis(view, 3, 5)
