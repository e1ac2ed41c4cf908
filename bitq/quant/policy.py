"""Which parameter gets which codebook: patterns over the parameter names of the plain model."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from torch import nn

from bitq.core.errors import ConfigError, nearest
from bitq.quant.codebook import CODEBOOKS, Codebook, codebook

Policy = Mapping[str, str]
PLACES = {"first": 0, "last": -1}
"""Words for the first and the last matrix of a model, where no parameter has such a name."""


def resolve(policy: Policy, model: nn.Module) -> dict[str, Codebook]:
    """Return the codebook of every parameter that a policy quantizes, in the model's order.

    Args:
        policy: shell patterns to codebook names, or to ``float`` to leave a parameter alone; the last match wins.
            Only parameters of two or more dimensions (weight matrices) are considered; ``first`` and ``last`` are
            the first and the last of them, in the order in which the model made them.
        model: the plain model.

    Raises:
        ConfigError: a pattern matches no matrix, a codebook is unknown, or two layers share a matrix.
    """
    matrices = matrix_names(model)
    _refuse_tied(model)
    rules = [(_placed(pattern, matrices), book) for pattern, book in policy.items()]
    for pattern, book in rules:
        if book != "float" and book not in CODEBOOKS:
            raise ConfigError(f"policy '{pattern}': unknown codebook '{book}'.{nearest(book, [*CODEBOOKS, 'float'])}")
        if not any(fnmatchcase(name, pattern) for name in matrices):
            raise ConfigError(f"policy '{pattern}' matches no weight matrix.{nearest(pattern, matrices)}")
    chosen = {name: _last_match(rules, name) for name in matrices}
    return {name: codebook(book) for name, book in chosen.items() if book != "float"}


def matrix_names(model: nn.Module) -> list[str]:
    """Return the names of all parameters of two or more dimensions."""
    return [name for name, parameter in model.named_parameters() if parameter.dim() >= 2]


def _refuse_tied(model: nn.Module) -> None:
    names: dict[int, str] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            if parameter.dim() >= 2 and names.setdefault(id(parameter), name) != name:
                raise ConfigError(
                    f"policy: {name} is the same parameter as {names[id(parameter)]}; call one layer twice to share "
                    "its weight."
                )


def _placed(pattern: str, matrices: list[str]) -> str:
    return matrices[PLACES[pattern]] if pattern in PLACES and matrices and pattern not in matrices else pattern


def _last_match(rules: list[tuple[str, str]], name: str) -> str:
    return next((book for pattern, book in reversed(rules) if fnmatchcase(name, pattern)), "float")
