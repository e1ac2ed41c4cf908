"""Constant objects of the generated C: how each is printed and how many bytes of flash it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INTEGERS = {np.dtype(t): f"{t}_t" for t in ("int8", "uint8", "int16", "int32")}
# Sizes on a core with 32-bit pointers, where no member of these structures needs padding before it.
_STRUCT_BYTES = {
    "bitq_rescale": 20,
    "bitq_linear": 28,
    "bitq_window": 24,
    "bitq_convolution": 52,
    "bitq_groups": 60,
    "bitq_pairs": 42,
    "bitq_sign_convolution": 36,
    "bitq_buckets": 32,
    "bitq_sum": 16,
    "bitq_whole": 12,
    "bitq_recurrent": 32,
    "bitq_recurrent_matrices": 92,
    "bitq_slopes": 28,
    "bitq_product": 20,
    "bitq_picks": 20,
    "bitq_border": 14,
    "bitq_statistics": 18,
}
_WIDTH = 118

Fields = list[tuple[str, str | int]]
"""Fields of a structure in their order; text is taken as C."""


@dataclass(frozen=True)
class Constant:
    """One ``static const`` object.

    Attributes:
        name: its C identifier.
        text: definition in C, with a newline at its end.
        flash_bytes: its size on a core with 32-bit pointers.
    """

    name: str
    text: str
    flash_bytes: int


def table(name: str, values: NDArray[np.integer[Any]]) -> Constant:
    """Return an array of integers."""
    words = [_literal(int(v)) for v in values.ravel().tolist()]
    head = f"static const {_INTEGERS[values.dtype]} {name}[{len(words)}] = {{"
    return Constant(name, f"{head}\n{_wrap(words)}}};\n", values.nbytes)


def struct(name: str, c_type: str, fields: Sequence[tuple[str, str | int]]) -> Constant:
    """Return a structure of the runtime, field by field; text is taken as C, nested ones from `nested`."""
    lines = [f"    .{field} = {value if isinstance(value, str) else _literal(value)},\n" for field, value in fields]
    return Constant(name, f"static const {c_type} {name} = {{\n{''.join(lines)}}};\n", _STRUCT_BYTES[c_type])


def nested(fields: Sequence[tuple[str, str | int]]) -> str:
    """Return the initializer of a structure within a structure."""
    lines = [
        f"        .{field} = {value if isinstance(value, str) else _literal(value)},\n" for field, value in fields
    ]
    return f"{{\n{''.join(lines)}    }}"


def _literal(value: int) -> str:
    # -2147483648 would be the negation of a number that does not fit.
    return "INT32_MIN" if value == -(2**31) else str(value)


def _wrap(words: Sequence[str]) -> str:
    lines: list[str] = []
    line = "   "
    for word in words:
        if len(line) + len(word) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "".join(f"{text}\n" for text in [*lines, line])
