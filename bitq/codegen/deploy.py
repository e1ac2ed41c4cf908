"""The deploy folder: C, build files, manifest, test vectors, self-test, README: written wholly or not at all."""

from __future__ import annotations

import io
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.emit import emit
from bitq.codegen.example import example_main
from bitq.codegen.integrations import integrations, own_header
from bitq.codegen.manifest import DeployInfo, Manifest, input_shape, manifest_of
from bitq.codegen.readme import readme
from bitq.core import files
from bitq.core.errors import DeployError
from bitq.ir.graph import Graph
from bitq.ir.reference import evaluate

_MANIFEST = "manifest.json"
_VECTORS = "vectors.npz"
NO_LABEL = -1


@dataclass(frozen=True)
class Vectors:
    """Test vectors with the results of the reference.

    Attributes:
        input: ``(n, *shape)`` of the input's type, in the order of the C call, channels-last.
        scores: int32 ``(n, k)``, all outputs one after the other.
        winner: int32 ``(n,)``, what the entry point returns.
        label: int32 ``(n,)``, the true class, −1 where there is none.
    """

    input: NDArray[np.integer[Any]]
    scores: NDArray[np.int32]
    winner: NDArray[np.int32]
    label: NDArray[np.int32]


def vectors_of(
    graph: Graph, x: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], *, at_least: int = 1000
) -> Vectors:
    """Run the reference on rows that may be published, and top them up with random ones.

    Args:
        graph: a checked graph.
        x: ``(n, *shape)``, channels-last; n may be 0.
        labels: ``(n,)``.
        at_least: number of rows that are wanted.
    """
    missing = max(0, at_least - len(x))
    dtype, size = graph.input.dtype, graph.input.size
    random = np.random.default_rng(0).integers(dtype.low, dtype.high + 1, (missing, size), dtype=dtype.array)
    rows = np.concatenate([x.reshape(len(x), size), random])
    label = np.concatenate([labels, np.full(missing, NO_LABEL)]).astype(np.int32)
    outputs = evaluate(graph, rows)
    shape = (len(rows), *input_shape(graph.input.shape))
    return Vectors(rows.reshape(shape), outputs.scores, outputs.winners, label)


def write_deploy(folder: Path, graph: Graph, info: DeployInfo, vectors: Vectors, optimize: str = "size") -> Manifest:
    """Write the deploy folder of a graph; the same arguments give the same bytes.

    Everything is written into a temporary folder beside the target, which is then renamed.

    Args:
        folder: created, or replaced if it is empty or a deploy folder.
        graph: a graph that obeys every rule and is proved to fit.
        info: origin of the data.
        vectors: from `vectors_of`.
        optimize: ``size``, ``balanced`` or ``speed``: what decides how each operation is computed.

    Raises:
        DeployError: the graph cannot be written as C, classes or vectors do not fit it, or the folder holds
            something else.
    """
    project = emit(graph, optimize, info.hop)
    _check(graph, info, vectors, sum(output.length for output in project.storage.outputs))
    _check_replaceable(folder)
    main = example_main(graph, vectors.input, vectors.scores, vectors.winner)
    sources = {f"{graph.name}.h": own_header(graph.name), **project.files, "example_main.c": main}
    manifest = manifest_of(project, info, sources)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        new, old = temporary / "new", temporary / "old"
        for name, text in sources.items():
            files.write_text(new / name, text)
        for name, text in integrations(graph.name, sources).items():
            files.write_text(new / name, text)
        files.write_text(new / "README.md", readme(manifest))
        files.write_bytes(new / _VECTORS, _npz(vectors))
        files.write_json(new / _MANIFEST, asdict(manifest))
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    except OSError as error:
        raise DeployError(f"cannot write {folder}: {error.strerror}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _check(graph: Graph, info: DeployInfo, vectors: Vectors, scores: int) -> None:
    count = len(vectors.input)
    expected = {
        "input": (count, *input_shape(graph.input.shape)),
        "scores": (count, scores),
        "winner": (count,),
        "label": (count,),
    }
    for name, shape in expected.items():
        array: NDArray[Any] = getattr(vectors, name)
        dtype = graph.input.dtype.array if name == "input" else np.dtype(np.int32)
        if array.shape != shape or array.dtype != dtype or count == 0:
            raise DeployError(
                f"model {graph.name}: vectors.{name} is {array.dtype} {array.shape}, "
                f"expected {dtype} {shape} with at least one row."
            )
    first = graph.types()[graph.outputs[0]].size
    if info.classes and len(info.classes) != first:
        raise DeployError(f"model {graph.name}: {len(info.classes)} class names for {first} scores; give one each.")


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / _MANIFEST).is_file()):
        raise DeployError(f"{folder} exists and is no deploy folder; remove it or name another one.")


def _npz(vectors: Vectors) -> bytes:
    # numpy dates the members of an archive 1980-01-01, so equal arrays give equal bytes.
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, input=vectors.input, scores=vectors.scores, winner=vectors.winner, label=vectors.label
    )
    return buffer.getvalue()
