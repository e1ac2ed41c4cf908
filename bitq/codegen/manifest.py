"""What a deploy folder says of itself: `manifest.json` as dataclasses, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bitq.codegen.emit import Project
from bitq.codegen.layers import symbols
from bitq.codegen.stream import prototypes
from bitq.core import files
from bitq.ir.ops import Op

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class DeployInfo:
    """What the graph does not know of its own origin.

    Attributes:
        classes: a name per class, class 0 first; empty if the model is no classifier.
        preprocess: ordered steps from raw data to the integer input, each a name and its parameters.
        rate_hz: samples per second of the sensor, or None.
        channels: names of the input channels.
        units: physical unit of the raw data.
        data_license: what the data may be used for.
        hop: samples between two classes of the streaming functions; None leaves these out.
    """

    classes: tuple[str, ...] = ()
    preprocess: tuple[tuple[str, Mapping[str, float | int | str]], ...] = ()
    rate_hz: float | None = None
    channels: tuple[str, ...] = ()
    units: str = ""
    data_license: str = ""
    hop: int | None = None


@dataclass(frozen=True)
class Entry:
    """The C function to call."""

    symbol: str
    prototype: str


@dataclass(frozen=True)
class Stream:
    """The functions that take one sample at a time; a class comes every ``hop`` samples."""

    state: str
    reset: str
    push: str
    hop: int


@dataclass(frozen=True)
class Input:
    """The caller's input: ``real = (integer − zero_point) · scale``, channels-last."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class OutputEntry:
    """One output within the scores; ``real = (score − zero_point) · scale``."""

    name: str
    offset: int
    length: int
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Step:
    """One step of the preprocessing."""

    name: str
    parameters: Mapping[str, float | int | str] = field(default_factory=dict[str, float | int | str])


@dataclass(frozen=True)
class LayerEntry:
    """One operation: its bits per weight (0 without weights), number of weights, bytes of its constants.

    The names of its constants and functions in ``model.c`` begin with ``symbol``.
    """

    name: str
    symbol: str
    kind: str
    weight_bits: int
    weights: int
    bytes: int


@dataclass(frozen=True)
class Source:
    """A file of the folder and its checksum."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The whole of ``manifest.json``, in its order.

    Attributes:
        arena_bytes: static RAM of the model.
        parameter_bytes: see `bitq.codegen.emit.parameter_bytes`: every constant, weights that are printed as
            instructions included.
        sources: every C file of the folder, headers included.
    """

    schema_version: int
    name: str
    entry: Entry
    stream: Stream | None
    input: Input
    outputs: tuple[OutputEntry, ...]
    classes: tuple[str, ...]
    preprocess: tuple[Step, ...]
    rate_hz: float | None
    channels: tuple[str, ...]
    units: str
    data_license: str
    arena_bytes: int
    parameter_bytes: int
    layers: tuple[LayerEntry, ...]
    sources: tuple[Source, ...]


def manifest_of(project: Project, info: DeployInfo, sources: Mapping[str, str]) -> Manifest:
    """Describe a generated project.

    Args:
        project: from `bitq.codegen.emit.emit`.
        info: origin of the data.
        sources: text of every C file by name.
    """
    storage = project.storage
    graph = storage.graph
    types = graph.types()
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=graph.name,
        entry=Entry(f"{graph.name}_run", f"{project.prototype};"),
        stream=_stream(project, info.hop),
        input=Input(
            input_shape(graph.input.shape), graph.input.dtype.array.name, graph.input.scale, graph.input.zero_point
        ),
        outputs=tuple(
            OutputEntry(o.name, o.offset, o.length, types[o.name].scale, types[o.name].zero_point)
            for o in storage.outputs
        ),
        classes=info.classes,
        preprocess=tuple(Step(name, dict(parameters)) for name, parameters in info.preprocess),
        rate_hz=info.rate_hz,
        channels=info.channels,
        units=info.units,
        data_license=info.data_license,
        arena_bytes=storage.arena_bytes,
        parameter_bytes=project.parameter_bytes,
        layers=tuple(
            _layer_entry(layer.op, f"{graph.name}_{symbol}", layer.flash_bytes)
            for layer, (_, symbol) in zip(project.layers, symbols(storage), strict=True)
        ),
        sources=tuple(Source(name, files.sha256_bytes(text.encode())) for name, text in sorted(sources.items())),
    )


def input_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that the caller sees: a sequence ``(1, time, channels)`` is ``(time, channels)``."""
    return shape[1:] if len(shape) == 3 and shape[0] == 1 else shape


def _stream(project: Project, hop: int | None) -> Stream | None:
    if hop is None:
        return None
    name = project.storage.graph.name
    reset, push = prototypes(name)
    return Stream(f"{name}_state", f"{reset};", f"{push};", hop)


def _layer_entry(op: Op, symbol: str, flash_bytes: int) -> LayerEntry:
    bits = max((weights.dtype.bits for weights in op.matrices), default=0)
    count = sum(int(weights.codes.size) for weights in op.matrices)
    return LayerEntry(op.layer or op.name, symbol, type(op).__name__.lower(), bits, count, flash_bytes)
