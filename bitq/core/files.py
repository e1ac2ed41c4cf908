"""Files that are whole or not there: atomic writing, checksums, paths that stay inside their folder, locks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from bitq.core.errors import BitqError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a kill or a full disk leaves either the old content or the new one.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and replace the target.

    Raises:
        BitqError: the folder cannot be written or the disk is full; the previous file is untouched.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        if not isinstance(error, OSError):
            raise
        raise BitqError(
            f"cannot write {path} ({len(content)} bytes): {error.strerror}. The previous file, if any, is intact."
        ) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically; see `write_bytes`."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, indented, keys in the order given; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of some bytes as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def inside(folder: Path, name: str) -> Path:
    """Return ``folder / name`` and refuse a name that leads outside the folder.

    Raises:
        BitqError: the name is absolute, climbs out, or passes a link that does.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise BitqError(f"'{name}' leads outside {folder}; give a plain name.")
    return path


@contextlib.contextmanager
def locked(path: Path) -> Generator[bool]:
    """Hold an exclusive lock on a file for as long as the block runs.

    The system frees the lock when the process ends in any way, so a free lock proves that its owner is gone.

    Yields:
        True if the lock was taken, False if somebody else holds it.

    Raises:
        BitqError: the file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BitqError(f"cannot write {path}: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
