"""Fetching of public data files: one fixed address each, resumable, capped, verified, and whole or not there.

What arrived so far stays in ``NAME.part``, so that the same command goes on after a broken connection.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bitq.core.errors import DataError
from bitq.core.files import inside, locked, sha256_file
from bitq.data.config import RemoteFile

CHUNK = 2**16
TIMEOUT_S = 30.0
LOCAL = ("127.0.0.1", "localhost", "::1")


def fetch(
    file: RemoteFile,
    folder: Path,
    progress: Callable[[str, int, int], None] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Bring one file into a folder; nothing is transferred if it is there already.

    Args:
        file: name, address, size and checksum.
        folder: where to; made if need be.
        progress: called as ``progress(name, bytes_so_far, bytes_in_all)``.
        timeout_s: longest silence of the server.

    Returns:
        The path of the verified file.

    Raises:
        DataError: the server fails or sends another file; a file that was there before is kept.
    """
    parts = urlsplit(file.url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
        raise DataError(f"{file.name}: data is fetched by https only, got '{file.url}'.")
    target = inside(folder, file.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".fetch.lock") as free:
            if not free:
                raise DataError(f"{folder}: another process is fetching into it; wait for it.")
            if not (target.is_file() and sha256_file(target) == file.sha256):
                _transfer(file, target.with_name(f"{target.name}.part"), progress, timeout_s)
                target.with_name(f"{target.name}.part").replace(target)
    except (http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise DataError(
            f"{file.name}: {file.url} cannot be fetched ({reason}); run the command again, it goes on from there."
        ) from error
    return target


def _transfer(
    file: RemoteFile, part: Path, progress: Callable[[str, int, int], None] | None, timeout_s: float
) -> None:
    """Complete ``part`` and verify it; it is deleted if it can never become the file."""
    have = part.stat().st_size if part.exists() else 0
    if have > file.size_bytes:
        part.unlink()
        have = 0
    if have < file.size_bytes:
        have = _receive(file, part, have, progress, timeout_s)
    if have < file.size_bytes:
        raise DataError(
            f"{file.name}: the connection ended after {have:,} of {file.size_bytes:,} bytes; "
            "run the command again, it goes on there."
        )
    found = sha256_file(part)
    if have > file.size_bytes or found != file.sha256:
        part.unlink()
        sizes = f"more than {file.size_bytes:,} bytes" if have > file.size_bytes else f"SHA-256 {found}"
        raise DataError(f"{file.name}: {file.url} sent another file ({sizes}), expected SHA-256 {file.sha256}.")


def _receive(
    file: RemoteFile,
    part: Path,
    have: int,
    progress: Callable[[str, int, int], None] | None,
    timeout_s: float,
) -> int:
    """Append what the server sends, at most one byte beyond the size, and return the length of ``part``."""
    request = urllib.request.Request(file.url, headers={"Accept-Encoding": "identity"})  # noqa: S310  checked by the caller
    if have:
        request.add_header("Range", f"bytes={have}-")
    opener = urllib.request.build_opener(_SameHost(file.url))
    with opener.open(request, timeout=timeout_s) as answer:
        if have and not _continues(answer, have):
            have = 0
        with part.open("ab" if have else "wb") as stream:
            while have <= file.size_bytes:
                chunk = answer.read(min(CHUNK, file.size_bytes + 1 - have))
                if not chunk:
                    break
                stream.write(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(file.name, min(have, file.size_bytes), file.size_bytes)
            stream.flush()
            os.fsync(stream.fileno())
    return have


def _continues(answer: Any, have: int) -> bool:
    """Tell whether the server sends the rest; one that ignores the range sends everything (status 200)."""
    return answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-")


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only within the scheme and host of the fixed address."""

    def __init__(self, url: str) -> None:
        self.origin = urlsplit(url)[:2]

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl)[:2] != self.origin:
            raise urllib.error.URLError(f"redirect to another host refused: {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
