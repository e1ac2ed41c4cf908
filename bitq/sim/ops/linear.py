"""Dense layers and convolutions in torch, whose biases and multipliers can be trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.ir import ops
from bitq.ir.ops import Linear, Op
from bitq.ir.types import INT32_MAX, Rescale, TensorType, Weights
from bitq.sim.exact import Rescaler, centred, dtype_for, nearest, tensor
from bitq.sim.ops.operation import Operation, pad


class LinearOperation(Operation):
    """The common part of both.

    Attributes:
        codes: integer weights in the layout of the graph, a buffer. A caller may change signs in place, or ask for
            their gradient; `trained` then returns what they have become.
        shift: what is added to the biases, in real units of the output, ``(channels,)``, 0 at first. Biases keep to
            the step and the bytes in which they are stored, and to what int32 holds.
    """

    codes: Tensor
    bias: Tensor

    def __init__(self, op: Linear, types: tuple[TensorType, ...]) -> None:
        super().__init__(op, types)
        x = types[0]
        self.least, self.most = x.dtype.low - x.zero_point, x.dtype.high - x.zero_point
        # Holds for any signs of the codes.
        magnitude = int(np.abs(op.weights.matrix).sum(axis=1).max()) * max(abs(self.least), abs(self.most))
        self.register_buffer("codes", tensor(op.weights.codes, dtype_for(magnitude)))
        self.register_buffer("bias", tensor(op.bias))
        self.shift = nn.Parameter(torch.zeros(len(op.bias)), requires_grad=False)
        self.folded = tensor(op.folded(x))
        self.step, most = _storage(op.bias - op.folded(x))
        self.rescaler = None if op.rescale is None else Rescaler(op.rescale)
        self.gain = torch.full((1,), op.out.scale, dtype=torch.float64)
        if op.rescale is not None:
            total = op.rescale.pre_shift + op.rescale.shift
            self.gain = self.gain * tensor(op.rescale.multiplier) * 2.0**-total
        room = torch.tensor(_room(op.rescale) - magnitude).clamp(0, INT32_MAX)
        stored = (self.bias - self.folded) / self.step
        least = ((-room - self.folded) / self.step).ceil().clamp(min=-most)
        limit = ((room - self.folded) / self.step).floor().clamp(max=most)
        self.limits = torch.minimum(least, stored), torch.maximum(limit, stored)

    def biases(self) -> Tensor:
        """Return the biases in accumulator units, the trained shift included."""
        if not self.shift.requires_grad and not self.shift.any():
            return self.bias
        wanted = (self.bias - self.folded + self.shift.double() / self.gain) / self.step
        return nearest(wanted).clamp(*self.limits) * self.step + self.folded

    def finish(self, products: Tensor) -> Tensor:
        """Return the output from the sums of products, channels last."""
        bias = self.biases()
        accumulator = products.double() + bias
        if self.rescaler is None:
            return accumulator
        return self.rescaler(accumulator, *self._bounds(bias))

    @torch.no_grad()
    def trained(self) -> Op:
        """Return the operation with its codes, biases and multipliers."""
        bias = self.biases()
        rescale = None if self.rescaler is None else self.rescaler.trained(*self._bounds(bias))
        old = self.op.weights
        weights = Weights(self.codes.detach().numpy().round().astype(np.int8), old.dtype, old.scale)
        return replace(self.op, weights=weights, bias=bias.numpy().astype(np.int32), rescale=rescale)

    @torch.no_grad()
    def _bounds(self, bias: Tensor) -> tuple[Tensor | int, Tensor | int]:
        # As in bitq.ir.ops.linear; only a trained multiplier needs them.
        if self.rescaler is None or not (self.rescaler.log_gain.requires_grad or self.rescaler.log_gain.any()):
            return 0, 0
        matrix = self.codes.reshape(len(self.codes), -1).double()
        ends = torch.stack([matrix * self.least, matrix * self.most])
        low = ends.amin(0).clamp(max=0).sum(1) + bias.clamp(max=0)
        high = ends.amax(0).clamp(min=0).sum(1) + bias.clamp(min=0)
        return low, high


class Dense(LinearOperation):
    """`bitq.ir.ops.Dense`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        x = centred(inputs[0].flatten(1).to(self.codes.dtype), self.types[0])
        return self.finish(x @ self.codes.T)


class Conv(LinearOperation):
    """`bitq.ir.ops.Conv` as products of matrices.

    Not torch's own convolution: oneDNN's has been seen to read past its input (torch 2.13, one channel, kernel
    ``(1, 2)``, stride ``(1, 2)``), and what it chooses depends on the processor.
    """

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute it."""
        op: ops.Conv = self.op
        x = pad(centred(inputs[0].to(self.codes.dtype), self.types[0]), op.padding)
        taps = x.unfold(1, op.reach[0], op.stride[0])[..., :: op.dilation[0]]
        taps = taps.unfold(2, op.reach[1], op.stride[1])[..., :: op.dilation[1]]  # (n, h, w, channels, kernel)
        if op.groups > 1 and op.groups == x.shape[-1]:
            return self.finish(self._depthwise(taps))
        parts = zip(taps.chunk(op.groups, dim=3), self.codes.chunk(op.groups), strict=True)
        places = taps.shape[:3]
        sums = [part.permute(0, 1, 2, 4, 5, 3).reshape(*places, -1) @ codes.flatten(1).T for part, codes in parts]
        return self.finish(torch.cat(sums, dim=-1))

    def _depthwise(self, taps: Tensor) -> Tensor:
        """Tap by tap: no copy of all windows."""
        each = len(self.codes) // self.op.groups
        total = torch.zeros(1, dtype=taps.dtype)
        for row in range(self.op.kernel[0]):
            for column in range(self.op.kernel[1]):
                part = taps[..., row, column]
                part = part.repeat_interleave(each, dim=-1) if each > 1 else part
                total = torch.addcmul(total, part, self.codes[:, row, column, 0])
        return total


def _storage(bias: NDArray[np.int64]) -> tuple[int, int]:
    """Return the step of biases that are stored in 16 bits, and the most steps; else 1 and what int32 holds."""
    bits = int(np.bitwise_or.reduce(np.abs(bias)))
    step = min(bits & -bits, 2**16) or 1
    return (step, 32767) if bits < 2**15 * step else (1, INT32_MAX)


def _room(rescale: Rescale | None) -> int:
    """Return how large an accumulator may be so that its product fits in int32."""
    if rescale is None:
        return INT32_MAX
    most = (INT32_MAX - (1 << rescale.shift >> 1)) // int(rescale.multiplier.max())
    return (most - 1) << rescale.pre_shift
