"""Fields of config dataclasses that know what they allow, and the one function that checks them all.

OmegaConf checks the types; what it lets through (infinite numbers, negative epochs, misspelt choices) is
refused here, before any work starts, with the full key and the allowed range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields, is_dataclass
from typing import Any, cast, get_type_hints

from bitq.core.errors import ConfigError, nearest


def number(default: Any, low: float, high: float, unit: str = "") -> Any:
    """A numeric field whose value must lie in [low, high]; ``unit`` is named in the error."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit})


def choice(default: str | int, options: Iterable[str | int]) -> Any:
    """A field whose value must be one of ``options``."""
    return field(default=default, metadata={"options": tuple(options)})


def validate(config: Any, path: str = "") -> None:
    """Check every field of a config dataclass, and of those inside it.

    Args:
        config: a dataclass instance; mappings and lists in it are walked too.
        path: the key that leads to it, for the message.

    Raises:
        ConfigError: a number is not finite or out of range, or a text is not one of its options.
    """
    if is_dataclass(config) and not isinstance(config, type):
        for f in fields(config):
            key = f"{path}.{f.name}" if path else f.name
            value = getattr(config, f.name)
            _check_value(key, value, f.metadata)
            validate(value, key)
        check = getattr(config, "check", None)
        if check is not None:
            check(path)
    elif isinstance(config, Mapping):
        for name, value in cast("Mapping[str, Any]", config).items():
            validate(value, f"{path}.{name}" if path else name)
    elif isinstance(config, list | tuple):
        for index, value in enumerate(cast("Sequence[Any]", config)):
            validate(value, f"{path}[{index}]")
    elif isinstance(config, float) and not math.isfinite(config):
        raise ConfigError(f"{path}: must be finite, got {config}.")


def _check_value(key: str, value: Any, allowed: Mapping[str, Any]) -> None:
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{key}: must be finite, got {value}.")
    if "low" in allowed:
        unit = f" {allowed['unit']}" if allowed["unit"] else ""
        if not allowed["low"] <= value <= allowed["high"]:
            raise ConfigError(f"{key}: must be {allowed['low']} to {allowed['high']}{unit}, got {value}.")
    if "options" in allowed and value not in allowed["options"]:
        raise ConfigError(f"{key}: unknown value '{value}'.{nearest(str(value), map(str, allowed['options']))}")


def field_names(config: type, prefix: str = "") -> list[str]:
    """Return the names of all fields of a config dataclass, those of nested dataclasses dotted."""
    names: list[str] = []
    for name, kind in get_type_hints(config).items():
        names.append(f"{prefix}{name}")
        if is_dataclass(kind) and isinstance(kind, type):
            names += field_names(kind, f"{prefix}{name}.")
    return names
