"""The yardstick as a deploy folder: a network with 8-bit weights in the plainest C, run like bitq's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bitq.codegen.constants import table
from bitq.codegen.emit import runtime_text
from bitq.codegen.manifest import SCHEMA_VERSION, input_shape
from bitq.core import files
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, AvgPool, Conv, Dense, Flatten, MaxPool, Op, Recurrent
from bitq.ir.types import Rescale, TensorType

_HERE = Path(__file__).parent


def write_plain(folder: Path, graph: Graph) -> None:
    """Write the plain C of a chain of layers whose weights and activations are INT8 with zero point 0."""
    types = graph.types()
    write_source(folder, graph.name, _model(graph), graph.input, [types[name].size for name in graph.outputs])


def write_source(folder: Path, name: str, text: str, x: TensorType, lengths: Sequence[int]) -> None:
    """Write a deploy folder of one source, whose function ``<name>_run`` reads ``x`` and writes as many scores."""
    files.write_text(folder / "model.c", text)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "entry": {"symbol": f"{name}_run"},
        "input": {"shape": input_shape(x.shape), "dtype": x.dtype.name.lower()},
        "outputs": [{"length": length} for length in lengths],
        "sources": [{"file": "model.c", "sha256": files.sha256_bytes(text.encode())}],
    }
    files.write_json(folder / "manifest.json", manifest)


def _model(graph: Graph) -> str:
    types = graph.types()
    steps = [op for op in graph.ops if not isinstance(op, Flatten | ArgMax)]
    largest = [max([types[op.name].size for op in steps[k:-1:2]], default=0) for k in (0, 1)]
    sums = max([len(op.bias) for op in steps[:-1] if isinstance(op, Dense)], default=0)
    tables, calls, x = list[str](), list[str](), "input"
    for number, op in enumerate(steps):
        y = f"buffer{number % 2}"
        if isinstance(op, Dense | Conv):
            tables += [table(f"{op.name}_w", op.weights.codes).text, table(f"{op.name}_b", op.bias).text]
        if isinstance(op, Recurrent):
            for matrix in (op.input, op.state):
                tables += [
                    table(f"{matrix.name}_w", matrix.weights.codes).text,
                    table(f"{matrix.name}_b", matrix.bias).text,
                ]
            tables += [f"static int32_t {op.name}_{what}[{size}];\n" for what, size in _recurrent_buffers(op)]
        calls += _calls(op, graph, x, "scores" if op is steps[-1] else y, op is steps[-1])
        x = y
    buffers = "".join(f"static int8_t buffer{k}[{size}];\n" for k, size in enumerate(largest) if size)
    buffers += f"static int32_t sums[{sums}];\n" if sums else ""
    body = "".join(f"    {call};\n" for call in calls)
    # What a compiler's own library holds for cores that cannot multiply.
    multiply = runtime_text("bitq_mulsi3.c").replace('#include "bitq.h"\n', "")
    return (
        f"{_functions(calls)}\n\n{multiply}\n{''.join(tables)}{buffers}"
        f"int32_t {graph.name}_run(const int8_t *input, int32_t *scores);\n\n"
        f"int32_t {graph.name}_run(const int8_t *input, int32_t *scores)\n{{\n{body}"
        f"    return best_of(scores, {types[graph.outputs[0]].size});\n}}\n"
    )


def _calls(op: Op, graph: Graph, x: str, y: str, last: bool) -> list[str]:
    source = graph.types()[op.inputs[0]]
    rescale = getattr(op, "rescale", None)
    scale = f"{rescale.pre_shift}, {rescale.multiplier[0]}, {rescale.shift}" if isinstance(rescale, Rescale) else ""
    match op:
        case Dense():
            call = f"dense({op.name}_w, {op.name}_b, {source.size}, {len(op.bias)}, {x}, {y if last else 'sums'})"
            return [call] if last else [call, f"relu(sums, {len(op.bias)}, {scale}, {y})"]
        case Conv():
            sizes = [*source.shape, *op.weights.codes.shape[1:3], *op.stride, op.padding[0][0], op.padding[1][0]]
            return [f"conv({op.name}_w, {op.name}_b, {_list([*sizes, *op.out.shape])}, {scale}, {x}, {y})"]
        case Recurrent():
            parts = [
                f"{m.name}_w, {m.name}_b, {m.rescale.multiplier[0]}"
                for m in (op.input, op.state)
                if m.rescale is not None
            ]
            sizes = _list([source.shape[1], source.shape[2], op.units, op.fraction, op.narrow])
            buffers = ", ".join(f"{op.name}_{what}" for what, _ in _recurrent_buffers(op))
            return [f"gru({', '.join(parts)}, {sizes}, {x}, {y}, {buffers})"]
        case MaxPool():
            assert op.kernel == op.stride
            assert op.kernel[0] == 1
            return [f"max_pool({op.out.shape[1]}, {op.kernel[1]}, {source.shape[2]}, {x}, {y})"]
        case AvgPool():
            return [f"mean({source.shape[0] * source.shape[1]}, {source.shape[2]}, {scale}, {x}, {y})"]
        case _:
            raise TypeError(type(op).__name__)


def _recurrent_buffers(op: Recurrent) -> list[tuple[str, int]]:
    """Return what a recurrent layer keeps, and how many numbers of 32 bits that takes."""
    return [("kept", op.units), ("a", op.kind.gates * op.units), ("b", op.kind.gates * op.units)]


def _functions(calls: Sequence[str]) -> str:
    """Return the plain functions and tables that the calls need, for compilers refuse those that nobody uses."""
    head, *blocks = (_HERE / "plain.c").read_text().split("\nstatic ")
    kept, needed = list[str](), "\n".join([*calls, "best_of("])
    for block in reversed(blocks):
        name = re.split(r"[(\[]", block, maxsplit=1)[0].split()[-1]
        if re.search(rf"\b{name}[(\[]", needed):
            kept.insert(0, block)
            needed += block
    return "\nstatic ".join([head, *kept]).rstrip()


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
