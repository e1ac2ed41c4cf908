"""What every operation is: the values it reads and makes, its rules, the bounds of its sums, and its meaning.

Each operation is one file of this package: a frozen dataclass with these four methods. Spatial tensors are
channels-last; a sequence is an image of height 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitq.ir.types import Rescale, TensorType, Weights

Values = NDArray[np.int64]
Pair = tuple[int, int]
NO_PADDING: tuple[Pair, Pair] = ((0, 0), (0, 0))


class Accumulator(NamedTuple):
    """A sum within an operation: the smallest and largest value that each channel can reach, and what reads it.

    Attributes:
        low, high: int64 ``(channels,)`` or ``(1,)``, partial sums included.
        rescale: what turns it into the next value, or None.
        part: its name where an operation has more than one.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    rescale: Rescale | None = None
    part: str = ""

    @property
    def magnitude(self) -> int:
        """Largest absolute value over all channels."""
        return int(max(-self.low.min(), self.high.max(), 0))

    @property
    def product_magnitude(self) -> int:
        """Largest absolute value inside the rescale, its rounding term included."""
        if self.rescale is None:
            return 0
        largest = np.maximum(np.abs(self.low >> self.rescale.pre_shift), np.abs(self.high >> self.rescale.pre_shift))
        rounding = 1 << (self.rescale.shift - 1) if self.rescale.shift else 0
        return int((largest * self.rescale.multiplier.astype(np.int64)).max()) + rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Op(ABC):
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

    @property
    def matrices(self) -> tuple[Weights, ...]:
        """Weights that it holds."""
        return ()

    @abstractmethod
    def check(self, *inputs: TensorType) -> None:
        """Hold the rules of this operation, for inputs of these types.

        Raises:
            DeployError: names the node and the rule that is broken.
        """

    @abstractmethod
    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """Return the shape that its output must have for inputs of these types.

        Raises:
            DeployError: no output is possible.
        """

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """Return every sum within it, with its bounds for any inputs of these types; none for what only moves data.

        Partial sums have to be covered: every term at its worst, with the bias and with 0.
        """
        return ()

    @abstractmethod
    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Compute it, exactly.

        Args:
            inputs: integers ``(n, *shape)``, one array per input.
            types: of the inputs.
        """
