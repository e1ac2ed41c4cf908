"""Graphs as JSON, and back: one line per operation, read by the types of its fields, and checked like any graph.

    {"schema_version": 2, "name": "net", …,
     "ops": [{"op": "Dense", "name": "fc", "inputs": ["input"], "out": {…}, "bias": {"int32": […]}, …}]}

An array is an object whose only key is its number format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DeployError, nearest
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import OPS, Op
from bitq.ir.ranges import prove
from bitq.ir.types import DTYPES, DType

SCHEMA_VERSION = 2
_KINDS = {kind.__name__: kind for kind in OPS}


def to_json(graph: Graph) -> str:
    """Return a graph as text; the same graph gives the same text."""
    head = {"schema_version": SCHEMA_VERSION, **{name: _encode(getattr(graph, name)) for name in _head_fields()}}
    lines = [json.dumps({"op": type(op).__name__, **_object(op)}, allow_nan=False) for op in graph.ops]
    start = json.dumps(head, allow_nan=False)[:-1]
    return f'{start}, "ops": [\n' + ",\n".join(lines) + "\n]}\n"


def from_json(text: str) -> Graph:
    """Return the graph of a text, checked and proved.

    Raises:
        DeployError: the text is no JSON, of another version, has an unknown operation or field, or a value of the
            wrong kind, and says where; or the graph breaks a rule.
        RangeError: an accumulator may not fit in 32 bits.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DeployError(f"graph: no JSON ({error}).") from error
    if not isinstance(document, dict):
        raise DeployError(f"graph: an object is expected, got {type(document).__name__}.")
    content = cast("dict[str, Any]", document)
    version = content.pop("schema_version", None)
    if type(version) is not int or version != SCHEMA_VERSION:
        raise DeployError(
            f"graph: schema_version is {version!r}; this bitq reads {SCHEMA_VERSION}. Export the graph again."
        )
    graph = cast("Graph", _construct(Graph, content, "graph"))
    prove(check(graph))
    return graph


def _head_fields() -> list[str]:
    return [field.name for field in fields(Graph) if field.name != "ops"]


def _object(value: Any) -> dict[str, Any]:
    return {field.name: _encode(getattr(value, field.name)) for field in fields(value)}


def _encode(value: Any) -> Any:
    if isinstance(value, DType):
        return value.name
    if isinstance(value, np.ndarray):
        return {value.dtype.name: value.tolist()}
    if is_dataclass(value):
        return _object(value)
    return [_encode(item) for item in cast("tuple[Any, ...]", value)] if isinstance(value, tuple) else value


def _construct(kind: type, content: Mapping[str, Any], where: str) -> Any:
    """Return a dataclass from an object with its fields."""
    known: dict[str, Field[Any]] = {field.name: field for field in fields(kind)}
    for name in content:
        if name not in known:
            raise DeployError(f"{where}: {kind.__name__} has no field '{name}'.{nearest(name, known)}")
    types = get_type_hints(kind)
    required = [name for name, field in known.items() if field.default is MISSING]
    missing = [name for name in required if name not in content]
    if missing:
        raise DeployError(f"{where}: {kind.__name__} lacks {', '.join(missing)}.")
    return kind(**{name: _decode(types[name], value, f"{where}.{name}") for name, value in content.items()})


def _decode(kind: Any, value: Any, where: str) -> Any:
    """Return the value of a field of the annotated type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if value is None else _decode(next(a for a in arguments if a is not NoneType), value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is np.ndarray:
        return _array(np.dtype(get_args(arguments[1])[0]), value, where)
    if kind is Op:
        return _operation(value, where)
    if kind is DType:
        return _named(DTYPES, value, "number format", where)
    if is_dataclass(kind):
        return _construct(cast("type", kind), _mapping(value, where), where)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and _finite(value):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise DeployError(f"{where}: {kind.__name__} is expected, got {str(value)[:40]!r}.")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def _operation(value: Any, where: str) -> Op:
    content = dict(_mapping(value, where))
    kind = _named(_KINDS, content.pop("op", None), "operation", where)
    return cast("Op", _construct(kind, content, f"{where} ({kind.__name__})"))


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise DeployError(f"{where}: a list is expected, got {str(value)[:40]!r}.")
    items = cast("list[Any]", value)
    kinds = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else list(arguments)
    if len(items) != len(kinds):
        raise DeployError(f"{where}: {len(kinds)} values are expected, got {len(items)}.")
    return tuple(
        _decode(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, items, strict=True))
    )


def _array(dtype: np.dtype[Any], value: Any, where: str) -> NDArray[Any]:
    content = _mapping(value, where)
    if list(content) != [dtype.name]:
        raise DeployError(f"{where}: an array {{'{dtype.name}': […]}} is expected, got {str(value)[:40]!r}.")
    try:
        wide = np.array(content[dtype.name])
    except ValueError as error:
        raise DeployError(f"{where}: no array of {dtype.name}: {error}.") from error
    numbers = "if" if dtype.kind == "f" else "i"
    if wide.size and wide.dtype.kind in numbers and np.isfinite(wide).all():
        array = wide.astype(dtype)
        if (array == wide).all():
            return array
    raise DeployError(f"{where}: values of {dtype.name} are expected, at least one.")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DeployError(f"{where}: an object is expected, got {str(value)[:40]!r}.")
    return cast("dict[str, Any]", value)


def _named(known: Mapping[str, Any], name: Any, what: str, where: str) -> Any:
    if not isinstance(name, str) or name not in known:
        raise DeployError(f"{where}: unknown {what} {str(name)[:40]!r}.{nearest(str(name), known)}")
    return known[name]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")
