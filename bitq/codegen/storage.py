"""Where every value of a graph lives in the generated C: the caller's input, the scores, the arena, or nowhere.

A value in another shape shares the buffer of what it is made of. Operations that lead to no output are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitq.codegen.choice import printer_of
from bitq.codegen.fuse import fuse
from bitq.codegen.ops.layer import Operand
from bitq.codegen.ops.printer import Printer
from bitq.codegen.plan import Plan, Request, Stage, plan
from bitq.core.errors import DeployError
from bitq.ir.graph import Graph
from bitq.ir.ops import Op, Reshape

ELEMENTS = {1: "uint8_t", 2: "int16_t", 4: "int32_t"}
"""The C type of a value's elements within the engine, by their bytes."""


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
        printers: how each operation is printed, by its name.
        plan: values that are no output and scratch buffers, in words of 4 bytes.
        returned: name of the ArgMax that is returned directly, or None.
    """

    graph: Graph
    ops: tuple[Op, ...]
    outputs: tuple[Output, ...]
    printers: Mapping[str, Printer]
    plan: Plan
    returned: str | None

    @property
    def arena_bytes(self) -> int:
        """Static RAM of the model."""
        return 4 * self.plan.size

    def expression(self, value: str) -> str:
        """Return the C expression for the address of a value."""
        root = _root(self.graph, value)
        if root == self.graph.input_name:
            return "x"
        for output in self.outputs:
            if _root(self.graph, output.name) == root:
                return _at("scores", output.offset)
        kind = ELEMENTS[self.graph.types()[root].dtype.array.itemsize]
        return self._in_arena(kind, self.plan.offsets[root])

    def scratch(self, op: Op) -> str:
        """Return the C expression for an operation's scratch buffer of words, NULL if it needs none."""
        offset = self.plan.offsets.get(_scratch_name(op))
        return "NULL" if offset is None else self._in_arena("uint32_t", offset)

    def operand(self, value: str) -> Operand:
        """Return a value as an operation reads it."""
        return Operand(self.graph.types()[value], _flip(self.graph, value), self.expression(value))

    def _in_arena(self, kind: str, offset: int) -> str:
        place = _at(f"{self.graph.name}_arena", offset)
        return place if kind == "uint32_t" else f"({kind} *){f'({place})' if offset else place}"


def store(graph: Graph, optimize: str = "size", own: Mapping[str, Printer] | None = None) -> Storage:
    """Decide where the values of a checked graph live.

    Args:
        graph: a checked graph.
        optimize: ``size``, ``balanced`` or ``speed``: what decides how each operation is computed.
        own: printers for some operations, by name.

    Raises:
        DeployError: two outputs are the same value.
    """
    if optimize != "size":
        graph = fuse(graph, optimize)
    outputs = _outputs(graph)
    ops = _live(graph)
    types = graph.types()
    last = {_root(graph, name): len(ops) for name in graph.outputs}
    for step, op in enumerate(ops):
        for root in (_root(graph, name) for name in op.inputs):
            last[root] = max(last.get(root, 0), step)
    output_roots = {_root(graph, output.name) for output in outputs}
    returned = graph.winner if graph.winner is not None and graph.winner not in last else None
    printers = {
        op.name: (own or {}).get(op.name) or printer_of(op, [types[name] for name in op.inputs], optimize)
        for op in ops
    }
    requests: dict[str, Request] = {}
    shared: dict[str, str] = {}
    for step, op in enumerate(ops):
        operands = [Operand(types[name], _flip(graph, name)) for name in op.inputs]
        if (size := printers[op.name].scratch(op, operands)) > 0:
            requests[_scratch_name(op)] = Request(_scratch_name(op), (Stage(_words(size), step, step),))
        if op.name in output_roots or op.name == returned:
            continue
        end = len(ops) if op.name == graph.winner else last[op.name]
        size = types[op.name].size * types[op.name].dtype.array.itemsize
        request = Request(op.name, (Stage(_words(size), step, end),))
        source = _root(graph, op.inputs[0])
        buffer = requests.get(shared.get(source, source))
        if buffer is not None and last[source] == step and printers[op.name].in_place(op, operands):
            shared[op.name] = buffer.name
            request = Request(buffer.name, (*buffer.stages, *request.stages))
        requests[request.name] = request
    planned = plan(list(requests.values()))
    offsets = {**planned.offsets, **{name: planned.offsets[buffer] for name, buffer in shared.items()}}
    return Storage(graph, ops, outputs, printers, Plan(offsets, planned.size), returned)


def _root(graph: Graph, value: str) -> str:
    shaped = {op.name: op.inputs[0] for op in graph.ops if isinstance(op, Reshape)}
    while value in shaped:
        value = shaped[value]
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
    return tuple(op for op in reversed(live) if not isinstance(op, Reshape))


def _flip(graph: Graph, value: str) -> int:
    # The caller's bytes are signed.
    return 0x80 if _root(graph, value) == graph.input_name else 0


def _words(size: int) -> int:
    return -(-size // 4)


def _scratch_name(op: Op) -> str:
    return f"{op.name} (scratch)"


def _at(base: str, offset: int) -> str:
    return f"{base} + {offset}" if offset else base
