"""The operations of the integer graph, one frozen dataclass each.

An op names its inputs and states the type of its output; what it computes is defined in `bitq.ir.reference`.
Spatial tensors are channels-last; a sequence is an image of height 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.types import Rescale, TensorType, Weights

Pair = tuple[int, int]
NO_PADDING: tuple[Pair, Pair] = ((0, 0), (0, 0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """Base of all operations.

    Attributes:
        name: unique in the graph; also the name of the value that it produces.
        inputs: names of the values that it reads.
        out: type of the value that it produces.
        layer: path of the torch module that it came from, for messages and the manifest.
    """

    name: str
    inputs: tuple[str, ...]
    out: TensorType
    layer: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Op):
    """``acc[o] = bias[o] + Σ_i code[o, i] · (x[i] − zero_point(x))`` over a flattened input, then `rescale`.

    ``bias`` is int32 ``(out,)`` in units of the accumulator. Without rescale the output is the accumulator.
    """

    weights: Weights
    bias: NDArray[np.int32]
    rescale: Rescale | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Op):
    """Cross-correlation with weights ``(out, kernel_h, kernel_w, in)``; padding reads the zero point of the input.

    With groups, output ``o`` reads only the ``in`` channels of group ``o // (out / groups)``; as many groups as
    channels make it depthwise.

    Attributes:
        stride: ``(vertical, horizontal)``.
        padding: ``((top, bottom), (left, right))``.
        bias: int32 ``(out,)``, in units of the accumulator.
        rescale: as in `Dense`.
        groups: number of groups of channels.
        dilation: distance of two taps, ``(vertical, horizontal)``.
    """

    weights: Weights
    bias: NDArray[np.int32]
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = NO_PADDING
    rescale: Rescale | None = None
    groups: int = 1
    dilation: Pair = (1, 1)

    @property
    def reach(self) -> Pair:
        """Places that the kernel covers, the gaps of its dilation included."""
        _, height, width, _ = self.weights.codes.shape
        return (height - 1) * self.dilation[0] + 1, (width - 1) * self.dilation[1] + 1


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Op):
    """Largest value of each window, channel by channel; padding never wins."""

    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair] = NO_PADDING


@dataclass(frozen=True, eq=False, kw_only=True)
class AvgPool(Op):
    """``acc = Σ (x − zero_point(x))`` over each window, then `rescale`, which holds the division."""

    kernel: Pair
    stride: Pair
    rescale: Rescale


@dataclass(frozen=True, eq=False, kw_only=True)
class Requantize(Op):
    """``acc = x − zero_point(x)``, then `rescale`: a change of scale, or a ReLU on its own."""

    rescale: Rescale


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Op):
    """``acc = Σ (x − zero_point(x)) · multiplier`` over two inputs of one shape, then `rescale` to the output.

    Attributes:
        multipliers: one per input, each in 1..32767; they bring both to a common scale.
        rescale: with one multiplier for all channels, 1 as a rule.
    """

    multipliers: Pair
    rescale: Rescale


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Op):
    """The channels of two or more inputs of one type, one input after the other at each place."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(Op):
    """The same integers in the same (channels-last) order as a vector."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ArgMax(Op):
    """Index of the largest element as INT32 ``(1,)``; the lowest index wins a tie."""
