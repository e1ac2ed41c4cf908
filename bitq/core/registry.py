"""A registry maps a name in a YAML file to a typed config and to the code that it configures.

The config class is at hand at once; the code is imported when it is first used, so that composing a
configuration never loads torch. A config can name only what is registered: it can never import code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar

from bitq.core.errors import ConfigError, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered name: the dataclass of its fields and where its code is found."""

    config: type
    target: str | Callable[..., T]

    def load(self) -> Callable[..., T]:
        """Import and return the registered callable."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)


class Registry(Generic[T]):
    """Names of one kind ("dataset", "model", …), in the order of registration."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str, config: type, target: str | Callable[..., T]) -> None:
        """Add a name.

        Args:
            name: the key that YAML files use in their ``name`` field.
            config: the dataclass of the fields that may stand beside ``name``.
            target: ``"module:attribute"`` (imported at first use) or the callable itself.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self._entries:
            raise ConfigError(f"{self.kind} '{name}' is registered twice; choose another name.")
        self._entries[name] = Entry(config, target)

    def __getitem__(self, name: str) -> Entry[T]:
        try:
            return self._entries[name]
        except KeyError:
            raise ConfigError(f"unknown {self.kind} '{name}'.{nearest(name, self._entries)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def create(self, config: Any) -> T:
        """Call the code registered under ``config.name`` with the config as its only argument."""
        return self[config.name].load()(config)
