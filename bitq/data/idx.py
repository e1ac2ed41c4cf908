"""A reader for IDX files, plain or gzipped, that believes nothing it has not checked.

The format: two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit
integer, then the values. What is declared is compared with the file's size before anything is allocated.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError
from bitq.core.files import sha256_bytes

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_BYTES = 2**30
MAX_DEFLATE_RATIO = 1032  # zlib's own bound: https://zlib.net/zlib_tech.html


def read_idx(path: Path, *, dimensions: int, sha256: str | None = None) -> NDArray[Any]:
    """Read one IDX file; a name that ends in ``.gz`` is decompressed.

    Args:
        path: the file.
        dimensions: how many the caller expects.
        sha256: checksum of the file as it lies on the disk, verified before anything is decoded.

    Returns:
        The array in the machine's own byte order.

    Raises:
        DataError: the file is damaged, not IDX, of the wrong size, or not the file of that checksum.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path}: {size:,} bytes; at most {MAX_BYTES:,} are read.")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    if sha256 is not None and (found := sha256_bytes(content)) != sha256:
        raise DataError(
            f"{path}: damaged or another file: SHA-256 is {found}, expected {sha256}. Delete it and fetch it again."
        )
    if path.suffix != ".gz":
        return _decode(io.BytesIO(content), path, dimensions, size)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return _decode(stream, path, dimensions, size * MAX_DEFLATE_RATIO)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch it again.") from error


def _decode(stream: BinaryIO | gzip.GzipFile, path: Path, dimensions: int, most: int) -> NDArray[Any]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"{path}: not an IDX file: it begins with {magic.hex(' ') or 'nothing'}, not 00 00.")
    if magic[2] not in TYPES:
        known = ", ".join(f"0x{code:02x}" for code in TYPES)
        raise DataError(f"{path}: byte 2 holds type code 0x{magic[2]:02x}; known: {known}.")
    if magic[3] != dimensions:
        raise DataError(f"{path}: byte 3 declares {magic[3]} dimensions, expected {dimensions}.")
    header = stream.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise DataError(f"{path}: ends inside its header, {4 + len(header)} bytes of {4 + 4 * dimensions}.")
    shape = tuple(int(value) for value in np.frombuffer(header, ">u4"))
    dtype = np.dtype(TYPES[magic[2]])
    declared = math.prod(shape) * dtype.itemsize
    if declared == 0 or declared > MAX_BYTES or declared > most:
        raise DataError(
            f"{path}: declares {' x '.join(map(str, shape))} values, {declared:,} bytes; "
            f"a file of this size can hold 1 to {min(most, MAX_BYTES):,}."
        )
    body = stream.read(declared + 1)  # the one byte more makes gzip check its end and shows a surplus
    if len(body) != declared:
        found = f"only {len(body):,}" if len(body) < declared else "more"
        raise DataError(f"{path}: {declared:,} bytes of values declared, {found} found.")
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))
