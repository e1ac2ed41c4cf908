"""The fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitq.ir.ops.base import Values
from bitq.ir.ops.linear import Linear, matmul
from bitq.ir.ops.rules import one_input, weights_fit
from bitq.ir.types import TensorType


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(Linear):
    """``acc[o] = bias[o] + Σ_i code[o, i] · (x[i] − zero_point(x))`` over a flattened input, then `rescale`.

    ``bias`` is int32 ``(out,)`` in units of the accumulator. Without rescale the output is the accumulator.
    """

    def check(self, *inputs: TensorType) -> None:
        """Weights ``(out, in)`` fit the elements of the input."""
        x = one_input(self, inputs)
        weights_fit(self.name, self.weights, 2)
        self.check_linear(x, x.size, self.weights.codes.shape[1])

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """One element per output channel."""
        return (len(self.weights.codes),)

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it."""
        x = inputs[0].reshape(len(inputs[0]), -1) - types[0].zero_point
        return self.finish(matmul(x, self.weights.matrix))
