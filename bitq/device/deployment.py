"""A deploy folder read from disk: its manifest, the C sources that it lists, its test vectors.

Everything is checked before a compiler sees it: names are plain identifiers, sources are the very bytes that
the manifest was written for.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core import files
from bitq.core.errors import DeployError

SCHEMA_VERSION = 1
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t"}
_NOT_LINKED = "example_main.c"
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive of arrays raises."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True)
class Vectors:
    """Test vectors: ``input`` ``(n, *shape)``, ``scores`` int32 ``(n, k)``, ``winner`` int32 ``(n,)``."""

    input: NDArray[np.integer[Any]]
    scores: NDArray[np.int32]
    winner: NDArray[np.int32]


@dataclass(frozen=True)
class Deployment:
    """What building and running a model takes.

    Attributes:
        folder: where the files are; nothing is ever written there.
        name: the model's name.
        symbol: the C function to call.
        input_shape: shape of one sample.
        input_dtype: numpy name of its elements.
        scores: number of int32 outputs, all outputs one after the other.
        sources: the .c files to compile, absolute.
        layers: name of each layer, and what the names of its constants and functions begin with.
    """

    folder: Path
    name: str
    symbol: str
    input_shape: tuple[int, ...]
    input_dtype: str
    scores: int
    sources: tuple[Path, ...]
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def input_length(self) -> int:
        """Elements of one sample."""
        return math.prod(self.input_shape)

    @property
    def definitions(self) -> list[str]:
        """Preprocessor definitions from which the harness sources know the model."""
        return [
            f"-DBITQ_RUN={self.symbol}",
            f"-DBITQ_INPUT_TYPE={C_TYPES[self.input_dtype]}",
            f"-DBITQ_INPUT_LENGTH={self.input_length}",
            f"-DBITQ_SCORES_LENGTH={self.scores}",
        ]

    def samples(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return inputs as one contiguous array ``(n, *input_shape)`` of the model's element type.

        Raises:
            DeployError: the shape or the element type is another one.
        """
        if x.shape[1:] != self.input_shape or x.dtype != np.dtype(self.input_dtype):
            raise DeployError(
                f"{self.name}: inputs are {x.dtype} {x.shape}, "
                f"expected {self.input_dtype} (n, {', '.join(map(str, self.input_shape))})."
            )
        return np.ascontiguousarray(x)

    def vectors(self) -> Vectors:
        """Read ``vectors.npz``.

        Raises:
            DeployError: the file is missing, damaged, or does not fit the manifest.
        """
        path = self.folder / "vectors.npz"
        try:
            with np.load(path, allow_pickle=False) as archive:
                inputs, scores, winner = archive["input"], archive["scores"], archive["winner"]
        except _UNREADABLE as error:
            raise DeployError(f"{path}: cannot read the test vectors ({error}); deploy the model again.") from error
        inputs = self.samples(inputs)
        count = len(inputs)
        fits = scores.shape == (count, self.scores) and winner.shape == (count,)
        if count == 0 or not fits or scores.dtype != np.int32 or winner.dtype != np.int32:
            raise DeployError(
                f"{path}: {count} inputs, scores {scores.dtype} {scores.shape} and winner {winner.dtype} "
                f"{winner.shape} do not fit together; expected int32 ({count}, {self.scores}) and int32 ({count},), "
                "at least one row."
            )
        return Vectors(inputs, scores, winner)


def read(folder: Path) -> Deployment:
    """Read and check a deploy folder.

    Raises:
        DeployError: the manifest is missing, damaged or of another version, or a source is missing or was changed.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise DeployError(
                f"{path}: schema_version is {manifest['schema_version']!r}, this bitq reads {SCHEMA_VERSION}."
            )
        shape = tuple(int(size) for size in manifest["input"]["shape"])
        deployment = Deployment(
            folder=folder,
            name=str(manifest["name"]),
            symbol=str(manifest["entry"]["symbol"]),
            input_shape=shape,
            input_dtype=str(manifest["input"]["dtype"]),
            scores=sum(int(output["length"]) for output in manifest["outputs"]),
            sources=tuple(_source(folder, entry["file"], entry["sha256"]) for entry in manifest["sources"]),
            layers=tuple(
                (str(layer["name"]), str(layer["symbol"]))
                for layer in manifest.get("layers", [])
                if "symbol" in layer  # manifests of earlier versions have none
            ),
        )
    except OSError as error:
        raise DeployError(f"{path}: {error.strerror}; is this a deploy folder?") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise DeployError(f"{path}: not a valid manifest ({type(error).__name__}: {error}); deploy again.") from error
    return _checked(path, deployment)


def _source(folder: Path, name: str, digest: str) -> Path:
    path = files.inside(folder, name)
    if not path.is_file():
        raise DeployError(f"{path}: listed in the manifest but missing; deploy the model again.")
    if files.sha256_file(path) != digest:
        raise DeployError(f"{path}: its SHA-256 is not the manifest's, so the file was changed; deploy again.")
    return path


def _checked(path: Path, deployment: Deployment) -> Deployment:
    compiled = tuple(s for s in deployment.sources if s.suffix == ".c" and s.name != _NOT_LINKED)
    if not _IDENTIFIER.fullmatch(deployment.symbol):
        raise DeployError(f"{path}: entry.symbol {deployment.symbol!r} is not a C identifier.")
    if deployment.input_dtype not in C_TYPES:
        raise DeployError(f"{path}: input.dtype '{deployment.input_dtype}'; allowed: {', '.join(C_TYPES)}.")
    if not deployment.input_shape or min(deployment.input_shape) < 1 or deployment.scores < 1:
        raise DeployError(
            f"{path}: input.shape {deployment.input_shape} and {deployment.scores} outputs; all must be at least 1."
        )
    if not compiled:
        raise DeployError(f"{path}: sources list no .c file.")
    return replace(deployment, sources=compiled)
