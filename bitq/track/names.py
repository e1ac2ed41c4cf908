"""Names and values that MLflow accepts: any key of ours becomes a legal, still readable and distinct one."""

from __future__ import annotations

import math
import re
from pathlib import Path

from bitq.core import files

MAX_NAME = 250
MAX_TEXT = 7_900  # MLflow cuts tags at 8,000 characters


def legal(name: str) -> str:
    """Return ``name`` with only letters, digits and ``_ - . : / space``, as MLflow wants metrics and params.

    A name that had to change ends in six digits of its checksum, so two names never become one.
    """
    parts = [re.sub(r"[^A-Za-z0-9_\-.: ]", "_", part).strip() for part in name.split("/")]
    clean = "/".join(part for part in parts if part.strip(". "))
    if clean and clean == name and len(name) <= MAX_NAME:
        return name
    mark = files.sha256_bytes(name.encode())[:6]
    return f"{clean[: MAX_NAME - 7]}.{mark}" if clean else f"unnamed.{mark}"


def artifact(folder: str, name: str) -> str:
    """Return ``folder/name`` for an artifact.

    Raises:
        BitqError: the name leads outside the folder.
    """
    root = Path("/artifacts").resolve()
    return str(files.inside(root / folder, name).relative_to(root))


def finite(value: float | None) -> bool:
    """Return whether a metric can be stored as a number."""
    return value is not None and math.isfinite(value)


def shortened(text: str) -> str:
    """Return ``text`` cut at the end of a line so that it fits into a tag."""
    if len(text) <= MAX_TEXT:
        return text
    return text[: text.rfind("\n", 0, MAX_TEXT) + 1 or MAX_TEXT] + "…"
