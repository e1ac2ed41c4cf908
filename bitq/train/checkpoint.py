"""Float weights from a file, to start a training from or to round as they are; nothing in the file is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bitq.core.errors import ConfigError

_COUNTER = "num_batches_tracked"  # of batch norms; other tools leave it out
_NAMED = 4  # names in a message


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Copy weights from a file into a model.

    Args:
        model: takes the values, in its own precision; untouched if anything does not fit.
        path: a ``.safetensors`` file, else a ``state_dict`` that torch saved, alone or under the key ``state_dict``
            as Lightning keeps it. A prefix that all its names share (``model.``) is dropped if the rest fits.

    Raises:
        ConfigError: the file cannot be read, or names, shapes or values do not fit; names the first of them.
    """
    path = Path(path).expanduser()
    expected = model.state_dict()
    found = _without_prefix(_read(path), expected)
    missing = [name for name in expected if name not in found and not name.endswith(_COUNTER)]
    strangers = [name for name in found if name not in expected]
    if missing or strangers:
        raise ConfigError(f"{path} does not fit the network: {_named(missing, strangers)}.")
    for name, values in found.items():
        if values.shape != expected[name].shape:
            raise ConfigError(
                f"{path} does not fit the network: {name} is {tuple(values.shape)} in the file and "
                f"{tuple(expected[name].shape)} in the network."
            )
        if not bool(torch.isfinite(values).all()):
            raise ConfigError(f"{path}: {name} holds values that are not finite.")
    model.load_state_dict(found, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; name one with weights (.safetensors, or torch's).")
    try:
        held: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:
        raise ConfigError(
            f"{path} cannot be read as weights ({_reason(error)}); save them with safetensors.torch.save_file or "
            "with torch.save(model.state_dict(), path)."
        ) from error
    if isinstance(held, dict) and isinstance(held.get("state_dict"), dict):
        held = held["state_dict"]
    if not isinstance(held, dict) or not all(isinstance(values, Tensor) for values in held.values()):
        raise ConfigError(f"{path} holds {type(held).__name__}, not a state_dict; save model.state_dict().")
    return held


def _reason(error: Exception) -> str:
    """Return in a few words why a file could not be read; torch's own words for an object in it are a page."""
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return f"it holds a {found.group(1)}, and objects may run code"
    if "Weights only load failed" in str(error):
        return "it is damaged, or nothing that torch.save wrote"
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


def _without_prefix(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    prefixes = {name.partition(".")[0] for name in found}
    if len(prefixes) == 1 and not set(found) & set(expected):
        shorter = {name.partition(".")[2]: values for name, values in found.items()}
        if set(shorter) & set(expected):
            return shorter
    return found


def _named(missing: list[str], strangers: list[str]) -> str:
    parts = (("it lacks", missing), ("it holds", strangers))
    return "; ".join(
        f"{what} {', '.join(names[:_NAMED])}{f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''}"
        for what, names in parts
        if names
    )
