"""From a search's space to single parameters, and from their values to a variant of the experiment.

A space may say "bits" and "widths" of any network; here they become one parameter per weight matrix and per width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from bitq.config import PER_VARIANT, ExperimentConfig, VariantConfig
from bitq.core.errors import ConfigError, nearest
from bitq.quant.codebook import FOR_BITS
from bitq.search.config import Params, Range, SearchConfig

STRENGTH = "quant.strength"
BITS, WIDTHS = "bits/", "widths/"
_ARE_WIDTHS = ("channels", "hidden")


def search_of(config: ExperimentConfig) -> SearchConfig:
    """Return the search of an experiment that has one."""
    assert isinstance(config.search, SearchConfig)
    return config.search


def expand(config: ExperimentConfig, matrices: Sequence[str]) -> dict[str, Range]:
    """Return the range of every single parameter.

    Args:
        config: with a search.
        matrices: names of the network's weight matrices, in its order.

    Raises:
        ConfigError: a key of the space is none of the experiment's, or holds no single number or word.
    """
    found: dict[str, Range] = {}
    for key, allowed in search_of(config).space.items():
        if key == "bits":
            found |= {f"{BITS}{matrix}": allowed for matrix in matrices}
        elif key == "widths":
            found |= {f"{WIDTHS}{place}": allowed for place in _widths(config)}
        else:
            key = STRENGTH if key == "strength" else key
            _present(config, key)
            found[key] = allowed
    if not found:
        raise ConfigError("search.space: name at least one parameter, as in conf/search/lambda_bits.yaml.")
    return found


def variant_of(config: ExperimentConfig, params: Params) -> VariantConfig:
    """Return the variant that a trial's parameters describe."""
    bits = bits_of(params)
    policy = {matrix: FOR_BITS[count] for matrix, count in bits.items()} or _policy(config)
    settings: dict[str, Any] = {k: value for k, value in params.items() if not k.startswith((BITS, WIDTHS))}
    widths = _widths(config)
    for place, width in widths.items():
        if f"{WIDTHS}{place}" in params:
            name, _, index = place.partition(".")
            scaled = max(1, round(width * float(params[f"{WIDTHS}{place}"])))
            if index:
                settings.setdefault(f"model.{name}", [0] * len(getattr(config.model, name)))[int(index)] = scaled
            else:
                settings[f"model.{name}"] = scaled
    return VariantConfig(policy, settings=settings)


def bits_of(params: Params) -> dict[str, int]:
    """Return the bits per weight matrix of a trial; empty where they do not vary."""
    return {key.removeprefix(BITS): int(value) for key, value in params.items() if key.startswith(BITS)}


def anchors(config: ExperimentConfig, space: Mapping[str, Range]) -> dict[str, Params]:
    """Return the obvious trials by name: the same bits everywhere, and more for the first and the last matrix.

    What does not vary in them has the experiment's own value.
    """
    base: Params = {
        key: allowed.nearest(1.0 if key.startswith(WIDTHS) else _present(config, key))
        for key, allowed in space.items()
        if not key.startswith(BITS)
    }
    matrices = [key for key in space if key.startswith(BITS)]
    if not matrices:
        return {"as it is": base}
    choices = sorted(search_of(config).space["bits"].choices)
    low, high = choices[0], choices[-1]
    found: dict[str, Params] = {}
    for bits in (low, high, *choices[1:-1]):
        found[f"{bits} bit"] = base | Params.fromkeys(matrices, int(bits))
    ends = {"first": {matrices[0]}, "last": {matrices[-1]}, "ends": {matrices[0], matrices[-1]}}
    for name, generous in ends.items():
        found[f"{name} {high} bit"] = {**base, **{m: high if m in generous else low for m in matrices}}
    return found


def settings_of(config: ExperimentConfig) -> dict[str, Any]:
    """Return what must stay the same when a study goes on; the number of trials and who runs them may change."""
    search = asdict(search_of(config))
    for key in ("n_trials", "space", "storage", "executor", "address", "front", "obvious"):
        del search[key]
    parts = {key: asdict(config)[key] for key in ("data", "model", "quant", "train", "seed")}
    parts["target"] = {key: asdict(config.target)[key] for key in ("name", "compiler", "optimize", "hop")}
    return {**parts, "policy": _policy(config) if "bits" not in search_of(config).space else {}, "search": search}


def _policy(config: ExperimentConfig) -> dict[str, str]:
    name = search_of(config).variant
    if name not in config.variants or config.variants[name].training != "method":
        trained = [n for n, v in config.variants.items() if v.training == "method"]
        raise ConfigError(f"search.variant: '{name}' is no variant trained by the method.{nearest(name, trained)}")
    return dict(config.variants[name].policy)


def _widths(config: ExperimentConfig) -> dict[str, int]:
    """Return the widths of the model by place: ``channels.0`` in a list, ``hidden`` alone."""
    found: dict[str, int] = {}
    for f in fields(config.model):
        value = getattr(config.model, f.name)
        if f.name in _ARE_WIDTHS and isinstance(value, list):
            found |= {f"{f.name}.{index}": width for index, width in enumerate(value)}
        elif f.name in _ARE_WIDTHS:
            found[f.name] = value
    if not found and "widths" in search_of(config).space:
        raise ConfigError(f"search.space.widths: model {config.model.name} has no channels and no hidden units.")
    return found


def _present(config: ExperimentConfig, key: str) -> Any:
    """Return the value that a key of the experiment has."""
    group, _, name = key.partition(".")
    known = [f"{g}.{f.name}" for g in PER_VARIANT for f in fields(getattr(config, g))]
    if key not in known:
        raise ConfigError(f"search.space: '{key}' is no key that may vary.{nearest(key, ['bits', 'widths', *known])}")
    value = getattr(getattr(config, group), name)
    if not isinstance(value, bool | int | float | str):
        raise ConfigError(f"search.space: '{key}' is {value}, no single number or word; 'widths' varies widths.")
    return value
