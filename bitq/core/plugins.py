"""A user's own Python files, which register datasets and networks; named on the command line, never in a config.

Worker processes load the same files, so that what they define can travel between processes.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from bitq.core.errors import ConfigError

_loaded: list[Path] = []


def load(path: Path) -> None:
    """Import a file, once per process.

    Raises:
        ConfigError: there is no such Python file.
    """
    path = path.resolve()
    if path in _loaded:
        return
    spec = importlib.util.spec_from_file_location(f"bitq_plugin_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"plugin={path}: there is no such Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    _loaded.append(path)


def loaded() -> tuple[Path, ...]:
    """Return the files that this process has imported, in order."""
    return tuple(_loaded)
