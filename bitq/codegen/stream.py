"""The streaming functions of a model: reset, and push, which takes one sample and now and then gives a class.

They run the graph of one step (`bitq.ir.stream`) with the printers that run the whole one; what both need is in flash
once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bitq.codegen.choice import step_of
from bitq.codegen.constants import Constant
from bitq.codegen.layers import layers
from bitq.codegen.ops.layer import Layer, byte_zero
from bitq.codegen.ops.recurrent import start_of
from bitq.codegen.storage import Storage, store
from bitq.ir.graph import Graph
from bitq.ir.ops import Recurrent
from bitq.ir.stream import Stream, stream_of


@dataclass(frozen=True)
class Streaming:
    """Streaming functions in C.

    Attributes:
        stream: what they run.
        storage: where the values of a step live, within the arena of the model.
        constants: in addition to those of the model.
        runtime: names of the runtime functions that they use.
        declarations: for ``model.h``: the state and the prototypes.
        definitions: for ``model.c``.
    """

    stream: Stream
    storage: Storage
    constants: tuple[Constant, ...]
    runtime: tuple[str, ...]
    declarations: str
    definitions: str


def prototypes(name: str) -> tuple[str, str]:
    """Return the declarations of reset and push, without semicolon."""
    return (
        f"void {name}_reset({name}_state *state)",
        f"int32_t {name}_push({name}_state *state, const int16_t *sample, int32_t *scores)",
    )


def streaming(graph: Graph, hop: int, optimize: str, present: Sequence[Constant]) -> Streaming:
    """Print the streaming functions of a checked graph.

    Args:
        graph: the whole graph.
        hop: samples from one class to the next.
        optimize: as in `bitq.codegen.emit.emit`.
        present: constants that ``model.c`` has already.

    Raises:
        DeployError: the graph cannot run sample by sample; names the layer.
    """
    stream = stream_of(graph, hop)
    layers_with_state = [op for op in stream.graph.ops if isinstance(op, Recurrent)]
    states = {f"layer{number}": op for number, op in enumerate(layers_with_state)}
    own = {op.name: step_of(op, state, optimize) for state, op in states.items()}
    storage = store(stream.graph, optimize, own)
    printed = _apart(layers(storage), present)
    known = {constant.name for constant in present}
    constants = tuple(c for layer in printed for c in layer.constants if c.name not in known)
    runtime = tuple(sorted({"bitq_slide", *(name for layer in printed for name in layer.runtime)}))
    declarations, definitions = _declarations(stream, states), _definitions(stream, storage, printed, states)
    return Streaming(stream, storage, constants, runtime, declarations, definitions)


def _apart(printed: Sequence[Layer], present: Sequence[Constant]) -> list[Layer]:
    """Give constants that differ from those of the same name in the model a name of their own."""
    texts = {constant.name: constant.text for constant in present}
    changed: set[str] = set()
    while True:
        layers = [_renamed(layer, changed) for layer in printed]
        found = {
            old.name
            for before, after in zip(printed, layers, strict=True)
            for old, new in zip(before.constants, after.constants, strict=True)
            if texts.get(new.name, new.text) != new.text
        }
        if not found:
            return layers
        changed |= found


def _renamed(layer: Layer, names: set[str]) -> Layer:
    if not names:
        return layer
    pattern = re.compile(rf"\b({'|'.join(sorted(names))})\b")

    def own(text: str) -> str:
        return pattern.sub(r"\1_step", text)

    constants = tuple(replace(c, name=own(c.name), text=own(c.text)) for c in layer.constants)
    return replace(layer, constants=constants, call=own(layer.call))


def _declarations(stream: Stream, states: Mapping[str, Recurrent]) -> str:
    graph = stream.graph
    name, window = graph.name, graph.input.size
    words = [f"    int32_t {state}[{op.units}];" for state, op in states.items()]
    halves = ["    uint16_t filled; /* samples in the window */", "    uint16_t due; /* steps to the next class */"]
    rows = [f"    uint8_t {state}_output[{op.units}];" for state, op in states.items()]
    fields = "\n".join([*words, *halves, *rows, f"    int8_t window[{window}];"])
    reset, push = prototypes(name)
    hop = stream.every * stream.stride
    answer = "the class" if graph.winner else "0"
    return f"""
/* The same model, one sample at a time; its state belongs to the caller. */
typedef struct {{
{fields}
}} {name}_state;

#define {name.upper()}_HOP {hop}

{reset};

/* Takes one sample of {graph.input.shape[2]} values in the units of the input, clipped to its range.
 * Writes the scores and returns {answer} every {hop} samples; returns -1 in between. */
{push};
"""


def _definitions(stream: Stream, storage: Storage, printed: Sequence[Layer], states: Mapping[str, Recurrent]) -> str:
    name, graph = stream.graph.name, stream.graph
    reset, push = prototypes(name)
    clear = [
        line
        for state, op in states.items()
        for line in (
            f"    for (uint32_t i = 0; i < {op.units}u; ++i) {{",
            f"        state->{state}[i] = {start_of(op)};",
            f"        state->{state}_output[i] = {byte_zero(op.out)};",
            "    }",
        )
    ]
    last = max(number for number, layer in enumerate(printed) if isinstance(layer.op, Recurrent))
    calls = [layer.call for layer in printed]
    result = "0"
    if storage.returned is not None:
        result = "winner"
    elif graph.winner is not None:
        result = f"*({storage.expression(graph.winner)})"
    slide = f"{graph.input.shape[2]}, {stream.samples}, {stream.stride}"
    body = [
        "const uint8_t *const x = (const uint8_t *)state->window;",
        *(["int32_t winner;"] if storage.returned is not None else []),
        f"if (bitq_slide(state->window, &state->filled, sample, {slide}) == 0u) {{",
        "    return -1;",
        "}",
        *calls[: last + 1],
        "--state->due;",
        "if (state->due != 0u) {",
        "    return -1;",
        "}",
        f"state->due = {stream.every};",
        *calls[last + 1 :],
        f"return {result};",
    ]
    lines = [
        "",
        reset,
        "{",
        "    state->filled = 0;",
        f"    state->due = {stream.first};",
        *clear,
        "}",
        "",
        push,
        "{",
        *(f"    {line}" for line in body),
        "}",
        "",
    ]
    return "\n".join(lines)
