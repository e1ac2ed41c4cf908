"""Reads the YAML files that a command may compose and refuses those that would make Hydra run code.

Hydra itself calls what a ``hydra:`` section names (callbacks, logging) before any configuration of ours is checked;
so nothing but ``conf/config.yaml`` may have such a section, and no file may hold ``_target_``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from bitq.core.errors import ConfigError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_BYTES = 1_000_000


def config_folders(conf: Path, arguments: list[str]) -> list[Path]:
    """Return the folders that a command line may compose from: ours and those that it names."""
    folders = [conf]
    for index, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in ("--config-dir", "-cd", "--config-path", "-cp"):
            following = arguments[index + 1] if index + 1 < len(arguments) else ""
            folders.append(Path(value or following))
        elif name.lstrip("+") == "hydra.searchpath":
            folders += [Path(place.removeprefix("file://")) for place in re.findall(r"[^\[\],\s'\"]+", value)]
    return folders


def refuse_code(conf: Path, folders: list[Path]) -> None:
    """Check every YAML file of the folders.

    Args:
        conf: bitq's own folder; its ``config.yaml`` alone may have a ``hydra`` section.
        folders: see `config_folders`.

    Raises:
        ConfigError: names the file, the line and the key.
    """
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")) + sorted(folder.rglob("*.yml")):
            _check(path, may_configure_hydra=path == conf / "config.yaml")


def _check(path: Path, *, may_configure_hydra: bool) -> None:
    content = path.read_bytes()
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path}: {len(content):,} bytes; a configuration file holds {_MAX_BYTES:,} at most.")
    try:
        text = content.decode()
        root = yaml.compose(text, Loader=_LOADER)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not a YAML file in UTF-8: {' '.join(str(error).split())}.") from error
    if re.search(r"@package\s+_?hydra", text):
        raise ConfigError(f"{path}: only conf/config.yaml may configure Hydra; remove the '@package hydra' line.")
    if root is None:
        return
    for key, line, depth in _keys(root):
        if key == "_target_":
            raise ConfigError(
                f"{path}:{line}: '_target_' names code, which no configuration may; see plugin=FILE.py."
            )
        if depth == 0 and (key == "hydra" or key.startswith("hydra.")) and not may_configure_hydra:
            raise ConfigError(f"{path}:{line}: only conf/config.yaml may have a 'hydra' section; remove it.")


def _keys(root: yaml.Node) -> Iterator[tuple[str, int, int]]:
    """Yield every key of a YAML document with its line and its depth; aliases are followed once."""
    seen: set[int] = set()
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield str(key.value), key.start_mark.line + 1, depth
                waiting += [(key, depth + 1), (value, depth + 1)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(item, depth + 1) for item in node.value]
