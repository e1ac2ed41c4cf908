"""Where every value of a graph lives in the generated C: the caller's input, the scores, the arena, or nowhere.

A flattened value shares the buffer of what it flattens. Operations that lead to no output are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from bitq.codegen.ops.layer import Operand
from bitq.codegen.ops.table import PRINTERS
from bitq.codegen.plan import Plan, Request, plan
from bitq.core.errors import DeployError
from bitq.ir.graph import Graph
from bitq.ir.ops import Flatten, Op
from bitq.ir.types import INT32


@dataclass(frozen=True)
class Output:
    """One output: name of its value, and its elements within the scores."""

    name: str
    offset: int
    length: int


@dataclass(frozen=True)
class Storage:
    """The placement of a graph.

    Attributes:
        graph: what is placed.
        ops: operations that do work, in order.
        outputs: the graph's outputs within the scores.
        bytes_plan: 8-bit values and scratch buffers, in bytes.
        words_plan: INT32 values that are no output, in words.
        returned: name of the ArgMax that is returned directly, or None.
    """

    graph: Graph
    ops: tuple[Op, ...]
    outputs: tuple[Output, ...]
    bytes_plan: Plan
    words_plan: Plan
    returned: str | None

    @property
    def arena_bytes(self) -> int:
        """Static RAM of the model."""
        return self.bytes_plan.size + 4 * self.words_plan.size

    def expression(self, value: str) -> str:
        """Return the C expression for the address of a value."""
        root = _root(self.graph, value)
        if root == self.graph.input_name:
            return "x"
        for output in self.outputs:
            if _root(self.graph, output.name) == root:
                return _at("scores", output.offset)
        if root in self.words_plan.offsets:
            return _at(f"{self.graph.name}_words", self.words_plan.offsets[root])
        return _at(f"{self.graph.name}_arena", self.bytes_plan.offsets[root])

    def scratch(self, op: Op) -> str:
        """Return the C expression for an operation's scratch buffer, NULL if it needs none."""
        offset = self.bytes_plan.offsets.get(_scratch_name(op))
        return "NULL" if offset is None else _at(f"{self.graph.name}_arena", offset)

    def operand(self, value: str) -> Operand:
        """Return a value as an operation reads it."""
        return Operand(self.graph.types()[value], _flip(self.graph, value), self.expression(value))


def store(graph: Graph) -> Storage:
    """Decide where the values of a checked graph live.

    Raises:
        DeployError: two outputs are the same value.
    """
    outputs = _outputs(graph)
    ops = _live(graph)
    types = graph.types()
    last = {_root(graph, name): len(ops) for name in graph.outputs}
    for step, op in enumerate(ops):
        for root in (_root(graph, name) for name in op.inputs):
            last[root] = max(last.get(root, 0), step)
    output_roots = {_root(graph, output.name) for output in outputs}
    returned = graph.winner if graph.winner is not None and graph.winner not in last else None
    small: list[Request] = []
    wide: list[Request] = []
    for step, op in enumerate(ops):
        if (size := _scratch_bytes(op, graph)) > 0:
            small.append(Request(_scratch_name(op), size, step, step))
        if op.name in output_roots or op.name == returned:
            continue
        end = len(ops) if op.name == graph.winner else last[op.name]
        (wide if types[op.name].dtype is INT32 else small).append(Request(op.name, types[op.name].size, step, end))
    return Storage(graph, ops, outputs, plan(small), plan(wide), returned)


def _root(graph: Graph, value: str) -> str:
    flattens = {op.name: op.inputs[0] for op in graph.ops if isinstance(op, Flatten)}
    while value in flattens:
        value = flattens[value]
    return value


def _outputs(graph: Graph) -> tuple[Output, ...]:
    types = graph.types()
    outputs: list[Output] = []
    offset = 0
    for name in graph.outputs:
        outputs.append(Output(name, offset, types[name].size))
        offset += types[name].size
    roots = [_root(graph, name) for name in graph.outputs]
    if len(set(roots)) != len(roots):
        raise DeployError(
            f"graph '{graph.name}': outputs {', '.join(graph.outputs)} hold a value twice; name each value once."
        )
    return tuple(outputs)


def _live(graph: Graph) -> tuple[Op, ...]:
    needed = {*graph.outputs, *([graph.winner] if graph.winner else [])}
    live: list[Op] = []
    for op in reversed(graph.ops):
        if op.name in needed:
            needed.update(op.inputs)
            live.append(op)
    return tuple(op for op in reversed(live) if not isinstance(op, Flatten))


def _scratch_bytes(op: Op, graph: Graph) -> int:
    types = graph.types()
    return PRINTERS[type(op)].scratch(op, [Operand(types[name], _flip(graph, name)) for name in op.inputs])


def _flip(graph: Graph, value: str) -> int:
    # The caller's bytes are signed.
    return 0x80 if _root(graph, value) == graph.input_name else 0


def _scratch_name(op: Op) -> str:
    return f"{op.name} (scratch)"


def _at(base: str, offset: int) -> str:
    return f"{base} + {offset}" if offset else base
