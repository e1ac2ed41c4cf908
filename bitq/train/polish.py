"""The last epochs, on the integer model itself: codes are fixed, what is left learns with the chip's arithmetic.

First the biases and multipliers of every layer, which hold the scales, norms and activation ranges, are trained
through the simulated integers. Then, where asked for, a local search over the codes: those whose gradient promises
most move to a neighbouring code together, and stay if the loss on training rows has fallen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor, nn

from bitq.ir.graph import Graph
from bitq.sim.exact import Rescaler
from bitq.sim.ops.linear import LinearOperation
from bitq.sim.simulate import Simulation, simulate

_BLOCK = 512  # rows per simulated pass
_FIRST = 0.002  # share of the codes that the search moves at first
_MOST = 0.05


@dataclass(frozen=True)
class Rows:
    """Training or validation rows: integers ``(n, *shape)``, channels last, and int64 labels ``(n,)``."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: Tensor) -> Rows:
        """Return the chosen rows."""
        return Rows(self.x[index], self.y[index])


@dataclass(frozen=True)
class Polish:
    """How to polish.

    Attributes:
        epochs: passes over the training rows for biases and multipliers.
        lr: learning rate of Adam at its start, in logarithms of multipliers; it falls linearly to 0.
        batch: rows per step.
        flips: rounds of the search over codes.
        flip_rows: training rows that a round looks at.
        powers_of_two: whether multipliers are held to powers of two.
    """

    epochs: int = 1
    lr: float = 2e-3
    batch: int = 128
    flips: int = 0
    flip_rows: int = 4096
    powers_of_two: bool = False


def polish(graph: Graph, train: Rows, val: Rows, class_weights: Tensor, how: Polish, seed: int) -> Graph:
    """Return the graph after its last epochs; the one that came in, if that is better on validation.

    With ``powers_of_two`` the constraint has the last word, not validation.

    Args:
        graph: a checked classifier.
        train: rows to learn from.
        val: rows that decide whether the result is kept, by the loss.
        class_weights: float ``(classes,)``.
        how: what to do.
        seed: of the order of the rows.
    """
    simulation = simulate(graph)
    loss = _Loss(simulation, class_weights)
    before = loss.on(val)
    for module in simulation.modules():
        if isinstance(module, Rescaler):
            module.powers_of_two = how.powers_of_two
    random = torch.Generator().manual_seed(seed)
    _tune(simulation, loss, train, how, random)
    if how.flips:
        _search(simulation, loss, train, how, random)
    if loss.on(val) > before and not how.powers_of_two:
        return graph
    return simulation.graph()


class _Loss:
    """Cross-entropy of the real scores."""

    def __init__(self, simulation: Simulation, class_weights: Tensor) -> None:
        self._simulation = simulation
        self._weights = class_weights.double()

    def of(self, rows: Rows) -> Tensor:
        scores = self._simulation.real(self._simulation(rows.x))
        return F.cross_entropy(scores, rows.y, weight=self._weights)

    @torch.no_grad()
    def on(self, rows: Rows) -> float:
        parts = [rows.take(index) for index in torch.arange(len(rows)).split(_BLOCK)]
        return sum(float(self.of(part)) * len(part) for part in parts) / len(rows)


def _tune(simulation: Simulation, loss: _Loss, train: Rows, how: Polish, random: torch.Generator) -> None:
    simulation.requires_grad_()
    optimizer = torch.optim.Adam(simulation.parameters(), lr=how.lr)
    steps = how.epochs * (len(train) // how.batch)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / max(1, steps))
    for _ in range(how.epochs):
        order = torch.randperm(len(train), generator=random)
        for index in order[: len(train) // how.batch * how.batch].split(how.batch):
            optimizer.zero_grad()
            loss.of(train.take(index)).backward()
            optimizer.step()
            decay.step()
    simulation.requires_grad_(requires_grad=False)


def _search(simulation: Simulation, loss: _Loss, train: Rows, how: Polish, random: torch.Generator) -> None:
    """Move the most promising codes to a neighbour; more of them after a success, fewer after a failure."""
    layers = [
        operation
        for operation in simulation.operations
        if isinstance(operation, LinearOperation) and operation.op.weights.dtype.bits < 8
    ]
    total = sum(layer.codes.numel() for layer in layers)
    count = max(1, int(_FIRST * total))
    for _ in range(how.flips):
        rows = train.take(torch.randint(len(train), (how.flip_rows,), generator=random))
        before = loss.on(rows)
        moves = _promising(layers, _slopes(layers, loss, rows), count)
        _move(layers, moves)
        if loss.on(rows) < before:
            count = min(count + count // 2 + 1, max(1, int(_MOST * total)))
        else:
            _move(layers, [-move for move in moves])
            count = max(1, count // 2)


def _slopes(layers: Sequence[LinearOperation], loss: _Loss, rows: Rows) -> list[Tensor]:
    """Return the gradient of the loss at every code."""
    for layer in layers:
        layer.codes.requires_grad_()
        layer.codes.grad = None
    for index in torch.arange(len(rows)).split(_BLOCK):
        (loss.of(rows.take(index)) * (len(index) / len(rows))).backward()
    slopes = [layer.codes.grad if layer.codes.grad is not None else torch.zeros_like(layer.codes) for layer in layers]
    for layer in layers:
        layer.codes.requires_grad = False
    return slopes


def _promising(layers: Sequence[LinearOperation], slopes: Sequence[Tensor], count: int) -> list[Tensor]:
    """Return by how much to move each code: 0, or one step of its codebook down the slope, for the best ``count``."""
    steps: list[Tensor] = []
    gains: list[Tensor] = []
    for layer, slope in zip(layers, slopes, strict=True):
        dtype = layer.op.weights.dtype
        step = -torch.sign(slope) * dtype.step
        there = layer.codes + step
        allowed = (there >= dtype.low) & (there <= dtype.high)
        steps.append(step)
        gains.append(torch.where(allowed, slope.abs() * dtype.step, 0.0).flatten())
    best = torch.cat(gains)
    chosen = torch.zeros_like(best)
    top = best.topk(min(count, len(best)))
    chosen[top.indices[top.values > 0]] = 1.0
    parts = chosen.split([len(gain) for gain in gains])
    return [step * part.reshape(step.shape).to(step.dtype) for step, part in zip(steps, parts, strict=True)]


@torch.no_grad()
def _move(layers: Sequence[nn.Module], moves: Sequence[Tensor]) -> None:
    for layer, move in zip(layers, moves, strict=True):
        codes = layer.codes
        assert isinstance(codes, Tensor)
        codes.add_(move)
