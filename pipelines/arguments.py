"""``key=value`` arguments of a study."""

from __future__ import annotations

from collections.abc import Sequence

from bitq.core.errors import ConfigError, nearest


def choices(arguments: Sequence[str], **defaults: str) -> dict[str, str]:
    """Return the value of every key, the default where none is given.

    Raises:
        ConfigError: a key is not known; the nearest is suggested.
    """
    given = dict(argument.split("=", 1) if "=" in argument else (argument, "") for argument in arguments)
    for key in given:
        if key not in defaults:
            raise ConfigError(f"unknown argument '{key}'.{nearest(key, defaults)}")
    return {**defaults, **given}
