"""A reader for ``.npz`` files that checks every declared size before it allocates, and never unpickles.

A zip directory and an array header are claims; both are compared with each other and with a limit first.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError

MAX_BYTES = 2**30


def read_npz(path: Path, *, wanted: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays of numbers, truth values or text.

    Args:
        path: the file.
        wanted: names to read where they exist; all by default.

    Returns:
        The arrays by name.

    Raises:
        DataError: the file is damaged, too large, holds objects, or an array is not what its header says.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > MAX_BYTES:
                raise DataError(f"{path}: unpacks to {total:,} bytes; at most {MAX_BYTES:,} are read.")
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise DataError(f"{path}: holds '{name}' twice.")
                if wanted is None or name in wanted:
                    arrays[name] = _read_array(archive, member, path, name)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: not a sound .npz file ({error}).") from error
    return arrays


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, name: str) -> NDArray[Any]:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{path}: '{name}' has format version {version}; known: 1.0 and 2.0.")
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran_order, dtype = read_header(stream)
        if dtype.kind not in "biufU":
            raise DataError(f"{path}: '{name}' is of type {dtype}; numbers and text are read, never objects.")
        size = math.prod(shape) * dtype.itemsize
        held = member.file_size - stream.tell()
        if size != held:
            raise DataError(f"{path}: '{name}' declares {shape} {dtype}, {size:,} bytes, but holds {held:,}.")
        body = stream.read(size + 1)  # the one byte more makes zipfile compare the checksum
    if len(body) != size:
        raise DataError(f"{path}: '{name}' holds {len(body):,} bytes of {size:,} declared.")
    array = np.frombuffer(body, dtype) if size else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C").astype(dtype.newbyteorder("="), copy=False)
