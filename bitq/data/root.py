"""Where data is looked for: the config's folder, else ``BITQ_DATA``, else ``./data``.

Every reader starts here, so that all of them report missing data in the same words.
"""

from __future__ import annotations

import os
from pathlib import Path

from bitq.core.errors import DataError


def data_root(root: str | None, *, must_exist: bool = True) -> Path:
    """Return the absolute path of the data folder.

    Args:
        root: the config's ``root``, which wins over the environment.
        must_exist: refuse a folder that was named but does not exist; ``./data`` may always be missing.

    Raises:
        DataError: ``root`` or ``BITQ_DATA`` names no folder.
    """
    variable = os.environ.get("BITQ_DATA")
    key, named = ("data.root", root) if root else ("BITQ_DATA", variable)
    if not named:
        return Path("data").absolute()
    path = Path(named).expanduser().absolute()
    if must_exist and not path.is_dir():
        raise DataError(f"{key} names {path}, which is no folder; correct it or create the folder.")
    return path


def missing(what: str, where: Path, advice: str) -> DataError:
    """Return the error for data that is not there.

    Args:
        what: the dataset.
        where: the path that was looked at.
        advice: how to get it.
    """
    return DataError(f"{what}: nothing at {where}. {advice}, or point BITQ_DATA or data.root to the data.")
