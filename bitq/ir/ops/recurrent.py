"""A recurrent layer in one direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitq.ir.cells import CELL_FRACTIONS, CELLS, FRACTIONS, GATE, NARROWS, Cell, Points, output
from bitq.ir.ops.base import Accumulator, Op, Values
from bitq.ir.ops.dense import Dense
from bitq.ir.ops.rules import one_input, rule, weights_fit
from bitq.ir.types import INT32, TensorType, Weights


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrent(Op):
    """A cell of `bitq.ir.cells` run over a sequence ``(1, time, channels)`` from a state of zero.

    Layers and directions are operations of their own; both directions meet in a `Concat`.

    Attributes:
        cell: which one, a key of ``CELLS``.
        input: the parts of all gates from a step of the sequence, sums times multipliers, gate by gate.
        state: the same from the output of the step before.
        fraction: parts stand for ``part / 2^fraction``; without effect in ``relu``.
        cell_fraction: the same of an LSTM's cell.
        narrow: bits that the state's part of a GRU's new gate drops before the reset gate multiplies it.
        shift: the output, 8 bits, is the result of the cell in steps of ``2^shift``.
        reverse: whether it runs from the last step to the first.
        pick: the step whose output ``(units,)`` is kept; None keeps all, ``(1, time, units)``.
    """

    cell: str
    input: Dense
    state: Dense
    fraction: int
    cell_fraction: int = 12
    narrow: int = 0
    shift: int = 23
    reverse: bool = False
    pick: int | None = None

    @property
    def kind(self) -> Cell:
        """The cell."""
        return CELLS[self.cell]

    @property
    def points(self) -> Points:
        """Where the points of its numbers are."""
        return Points(self.fraction, self.cell_fraction, self.narrow)

    @property
    def units(self) -> int:
        """Number of units."""
        return self.state.weights.codes.shape[1]

    @property
    def matrices(self) -> tuple[Weights, ...]:
        """Of the input and of the state."""
        return self.input.weights, self.state.weights

    def order(self, time: int) -> list[int]:
        """Return the steps in the order in which they are computed, up to the one that is kept."""
        steps = sorted(range(time), reverse=self.reverse)
        return steps if self.pick is None else steps[: steps.index(self.pick) + 1]

    def check(self, *inputs: TensorType) -> None:
        """A sequence of 8-bit values, two matrices that fit it and each other, and fractions within their limits."""
        x = one_input(self, inputs)
        rule(self.cell in CELLS, self.name, f"its cell '{self.cell}' is one of {', '.join(CELLS)}")
        rule(len(x.shape) == 3 and x.shape[0] == 1, self.name, f"it reads (1, time, channels), got {x.shape}")
        rule(self.out.dtype is self.kind.out, self.name, f"it gives {self.kind.out.name}")
        rule(self.out.zero_point == 0, self.name, "its output has no zero point")
        weights_fit(self.name, self.state.weights, 2)
        rows = self.kind.gates * self.units
        for part, reads in self.parts(x):
            part.check(reads)
            rule(part.out.shape == (rows,), part.name, f"it gives {rows} parts, declared {part.out.shape}")
            rule(part.infer_shape(reads) == (rows,), part.name, f"its weights have {rows} rows")
            rule(part.out.dtype is INT32 and part.out.zero_point == 0, part.name, "it gives INT32 around 0")
            rule(part.rescale is not None, part.name, "it has multipliers")
            assert part.rescale is not None
            plain = (part.rescale.pre_shift, part.rescale.shift, part.rescale.low, part.rescale.high)
            rule(plain == (0, 0, INT32.low, INT32.high), part.name, "its multipliers come without shift and clamp")
        for what, value, (low, high) in (
            ("fraction", self.fraction, FRACTIONS),
            ("cell_fraction", self.cell_fraction, CELL_FRACTIONS),
            ("narrow", self.narrow, NARROWS),
            ("shift", self.shift, self.kind.shifts),
        ):
            rule(low <= value <= high, self.name, f"{what} is {low}..{high}, got {value}")
        exists = self.pick is None or 0 <= self.pick < x.shape[1]
        rule(exists, self.name, f"the step {self.pick} that it keeps is one of {x.shape[1]}")

    def infer_shape(self, *inputs: TensorType) -> tuple[int, ...]:
        """All steps or one."""
        return (1, inputs[0].shape[1], self.units) if self.pick is None else (self.units,)

    def accumulators(self, *inputs: TensorType) -> tuple[Accumulator, ...]:
        """The sums of both matrices, and those of both parts; a GRU's reset gate multiplies a part of the state."""
        sums = [part.accumulators(reads)[0] for part, reads in self.parts(inputs[0])]
        named = [total._replace(part=name) for total, name in zip(sums, ("input", "state"), strict=True)]
        rescales = (self.input.rescale, self.state.rescale)
        reach = [
            np.maximum(-total.low, total.high) * (rescale.multiplier.astype(np.int64) if rescale else 1)
            for total, rescale in zip(sums, rescales, strict=True)
        ]
        # C adds what makes an index of the curve positive, 8.
        most = reach[0] + reach[1] + max(1 << self.shift >> 1, 8 << self.fraction)
        if self.cell == "gru":
            most = np.append(most, ((reach[1][-self.units :] >> self.narrow) + 1) << GATE)
        return (*named, Accumulator(-most, most, part="cell"))

    def evaluate(self, inputs: Sequence[Values], types: Sequence[TensorType]) -> Values:
        """Run the cell."""
        x, rows = inputs[0][:, 0], (-1, self.kind.gates, self.units)
        (_, reads), (_, before) = self.parts(types[0])
        state = out = np.zeros((len(x), self.units), np.int64)
        kept: dict[int, Values] = {}
        for step in self.order(x.shape[1]):
            a = self.input.evaluate([x[:, step]], [reads]).reshape(rows)
            b = self.state.evaluate([out], [before]).reshape(rows)
            state, result = self.kind.step(a, b, state, self.points)
            kept[step] = out = output(result, self.shift, self.out.dtype)
        return out if self.pick is not None else np.stack([kept[step] for step in sorted(kept)], axis=1)[:, None]

    def parts(self, x: TensorType) -> tuple[tuple[Dense, TensorType], tuple[Dense, TensorType]]:
        """Return both matrices with what each reads at a step."""
        step = TensorType((x.shape[-1],), x.dtype, x.scale, x.zero_point)
        return (self.input, step), (self.state, TensorType((self.units,), self.out.dtype, self.out.scale))
