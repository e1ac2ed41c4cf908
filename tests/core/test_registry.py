import sys
from dataclasses import dataclass

import pytest

from bitq.core.errors import ConfigError
from bitq.core.registry import Registry


@dataclass
class Config:
    name: str = "a"


def made(config):
    return f"made {config.name}"


@pytest.fixture
def registry():
    registry = Registry("thing")
    registry.register("a", Config, made)
    registry.register("late", Config, "wave:open")
    return registry


def test_a_config_is_built_by_the_code_of_its_name(registry):
    assert registry.create(Config()) == "made a"
    assert list(registry) == ["a", "late"]
    assert registry["late"].config is Config


def test_code_given_by_name_is_imported_at_use(registry, monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    entry = registry["late"]
    assert "wave" not in sys.modules
    assert entry.load().__module__ == "wave"


def test_an_unknown_name_and_a_taken_one_are_refused(registry):
    with pytest.raises(ConfigError, match=r"unknown thing 'lat'.*Did you mean 'late'"):
        registry.create(Config("lat"))
    with pytest.raises(ConfigError, match="thing 'a' is registered twice"):
        registry.register("a", Config, made)
