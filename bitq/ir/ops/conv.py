"""The convolution over one or two dimensions: plain, in groups, depthwise, dilated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops.base import NO_PADDING, Pair, Values
from bitq.ir.ops.linear import Linear, matmul
from bitq.ir.ops.rules import one_input, rule, weights_fit
from bitq.ir.ops.windows import slide, windows
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Linear):
    """Cross-correlation with weights ``(out, kernel_h, kernel_w, in)``; padding reads the zero point of the input.

    With groups, output ``o`` reads only the ``in`` channels of group ``o // (out / groups)``; as many groups as
    channels make it depthwise.

    Attributes:
        stride: ``(vertical, horizontal)``.
        padding: ``((top, bottom), (left, right))``.
        groups: number of groups of channels.
        dilation: distance of two taps, ``(vertical, horizontal)``.
    """

    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = NO_PADDING
    groups: int = 1
    dilation: Pair = (1, 1)

    @property
    def kernel(self) -> Pair:
        """Taps ``(vertical, horizontal)``."""
        _, height, width, _ = self.weights.codes.shape
        return height, width

    @property
    def reach(self) -> Pair:
        """Places that the kernel covers, the gaps of its dilation included."""
        return (self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1

    def check(self, *inputs: TensorType) -> None:
        """Weights fit the channels, outputs divide into groups."""
        x = one_input(self, inputs)
        weights_fit(self.name, self.weights, 4)
        rule(self.groups >= 1, self.name, f"there is at least one group, got {self.groups}")
        outputs = len(self.weights.codes)
        rule(outputs % self.groups == 0, self.name, f"its {outputs} outputs divide into {self.groups} groups")
        rule(min(self.dilation) >= 1, self.name, f"a dilation is at least 1, got {self.dilation}")
        self.check_linear(x, self.weights.codes.shape[3] * self.groups, x.shape[-1])

    def folded(self, x: TensorType) -> NDArray[np.int64]:
        """Nothing with groups or dilation, whose kernel takes every input relative to its zero."""
        relative = self.groups > 1 or self.dilation != (1, 1)
        return np.zeros(len(self.bias), np.int64) if relative else super().folded(x)

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """One place per position of the kernel."""
        return (*slide(self, inputs[0], self.reach, self.stride, self.padding), len(self.weights.codes))

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it, group by group."""
        x = np.pad(inputs[0] - types[0].zero_point, ((0, 0), *self.padding, (0, 0)))
        taps = windows(x, self.reach, self.stride)[:, :, :, :: self.dilation[0], :: self.dilation[1]]
        rows = np.split(self.weights.matrix, self.groups)
        channels = np.split(taps, self.groups, axis=-1)
        parts = [matmul(part.reshape(*part.shape[:3], -1), row) for part, row in zip(channels, rows, strict=True)]
        return self.finish(np.concatenate(parts, axis=-1))
