"""A graph as a torch module that computes the integers of `bitq.ir.reference`, to the bit.

It runs whole test sets faster than the reference, and what it computes can be differentiated: rounding passes the
gradient, a clamp passes it between its ends. So the last epochs of a training, or any search over signs, see exactly
what the chip will do::

    simulation = simulate(graph).requires_grad_(True)
    loss = cross_entropy(simulation.real(simulation(x)), y)  # trains biases and multipliers
    graph = simulation.graph()
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ranges import prove
from bitq.ir.reference import Outputs
from bitq.sim.ops.operation import Operation
from bitq.sim.ops.table import OPERATIONS

_BATCH = 256  # rows per block: keeps the values between two layers within the cache


class Simulation(nn.Module):
    """The module; its parameters have no gradient until ``requires_grad_(True)``.

    Attributes:
        operations: one per operation of the graph, in its order.
    """

    scales: Tensor
    zero_points: Tensor

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        types = graph.types()
        self.source = graph
        self.operations = nn.ModuleList(
            OPERATIONS[type(op)](op, tuple(types[name] for name in op.inputs)) for op in graph.ops
        )
        outputs = [types[name] for name in graph.outputs]
        sizes = torch.tensor([kind.size for kind in outputs])
        scales = torch.tensor([kind.scale for kind in outputs], dtype=torch.float64)
        zero_points = torch.tensor([kind.zero_point for kind in outputs], dtype=torch.float64)
        self.register_buffer("scales", scales.repeat_interleave(sizes))
        self.register_buffer("zero_points", zero_points.repeat_interleave(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores: integers in float64 ``(n, k)``, all outputs one after the other.

        Args:
            x: integers of any dtype, ``(n, *graph.input.shape)``, channels last; another shape with as many elements
                in the same order is accepted.
        """
        values = self.values(x)
        return torch.cat([values[name].flatten(1).double() for name in self.source.outputs], dim=1)

    def real(self, scores: Tensor) -> Tensor:
        """Return what scores stand for: ``(score − zero_point) · scale``."""
        return (scores - self.zero_points) * self.scales

    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Return every value by name."""
        values = {self.source.input_name: x.reshape(len(x), *self.source.input.shape).float()}
        for op, operation in zip(self.source.ops, self.operations, strict=True):
            values[op.name] = operation(*(values[name] for name in op.inputs))
        return values

    def graph(self) -> Graph:
        """Return the graph with the integers that were trained, checked and proved again.

        Raises:
            RangeError: sums with codes that a caller changed no longer fit in 32 bits.
        """
        ops = tuple(operation.trained() for operation in self.operations if isinstance(operation, Operation))
        graph = replace(self.source, ops=ops)
        prove(check(graph))
        return graph


def simulate(graph: Graph) -> Simulation:
    """Return a checked graph as a torch module."""
    return Simulation(graph)


@torch.no_grad()
def evaluate(graph: Graph, x: NDArray[Any]) -> Outputs:
    """Run a graph on a batch, as `bitq.ir.reference.evaluate` does, faster.

    Args:
        graph: a checked graph.
        x: integers ``(n, *graph.input.shape)`` within the input's dtype.
    """
    simulation = simulate(graph)
    scores: list[Tensor] = []
    winners: list[Tensor] = []
    for rows in torch.from_numpy(np.ascontiguousarray(x)).split(_BATCH):
        values = simulation.values(rows)
        scores.append(torch.cat([values[name].flatten(1).double() for name in graph.outputs], dim=1))
        winners.append(values[graph.winner][:, 0] if graph.winner else torch.zeros(len(rows)))
    return Outputs(torch.cat(scores).int().numpy(), torch.cat(winners).int().numpy())
