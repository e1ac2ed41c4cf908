"""What dense layers and convolutions share: a matrix of codes, biases, the bounds of their sums, exact products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.ir.ops.base import Accumulator, Op, Values
from bitq.ir.ops.rules import reads_bytes, rescales, rule
from bitq.ir.types import Rescale, TensorType, Weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Op):
    """Base of the operations that multiply by weights.

    Attributes:
        weights: codes, output channel first.
        bias: int32 ``(out,)``, in units of the accumulator.
        rescale: from the accumulator to the output; without one the output is the accumulator.
    """

    weights: Weights
    bias: NDArray[np.int32]
    rescale: Rescale | None = None

    @property
    def matrices(self) -> tuple[Weights, ...]:
        """Its weights."""
        return (self.weights,)

    def check_linear(self, x: TensorType, fan_in: int, expected: int) -> None:
        """Hold the rules of every linear operation; ``fan_in`` of the weights has to be ``expected``."""
        codes = self.weights.codes
        rule(fan_in == expected, self.name, f"weights {codes.shape} match the input {x.shape}")
        rule(self.bias.shape == (len(codes),), self.name, "one bias per output channel")
        reads_bytes(self, (x,))
        rescales(self, self.rescale)

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """Every weight times the input that makes most of it; padding contributes 0, so each term may be absent."""
        low, high = inputs[0].dtype.low - inputs[0].zero_point, inputs[0].dtype.high - inputs[0].zero_point
        matrix = self.weights.matrix
        bias = self.bias.astype(np.int64)
        smallest = np.minimum(np.minimum(matrix * low, matrix * high), 0).sum(axis=1)
        largest = np.maximum(np.maximum(matrix * low, matrix * high), 0).sum(axis=1)
        return (Accumulator(smallest + np.minimum(bias, 0), largest + np.maximum(bias, 0), self.rescale),)

    def folded(self, x: TensorType) -> NDArray[np.int64]:
        """Return what C takes from the biases before it stores them, as it reads its input as unsigned bytes.

        That is the byte that stands for 0, times the sum of an output's weights, ``(out,)``.
        """
        return (x.zero_point - min(x.dtype.low, 0)) * self.weights.matrix.sum(axis=1)

    def finish(self, products: Values) -> Values:
        """Return the output from the sums of products: bias, then rescale."""
        accumulator = products + self.bias.astype(np.int64)
        return accumulator if self.rescale is None else self.rescale.apply(accumulator)


def matmul(x: Values, matrix: Values) -> Values:
    """Return ``x @ matrix.T``, exact where the sums are below 2^53, at BLAS speed."""
    return (x.astype(np.float64) @ matrix.T.astype(np.float64)).astype(np.int64)
