"""What takes the bytes of a linked model: per layer, for the engine that all layers share, and per symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitq.device.elf import Symbol
from bitq.device.image import Image

ENGINE = "(engine)"
MODEL = "(calls and buffers)"
GAPS = "(literals, gaps)"
_HARNESS = frozenset(
    (
        "bitq_vectors",
        "Reset_Handler",
        "Fault_Handler",
        "bitq_boot",
        "main",
        "bitq_input",
        "bitq_scores",
        "bitq_winner",
    )
)
_MERGED = ".L_MergedGlobals"  # a second name of variables that have one


@dataclass(frozen=True)
class Part:
    """A layer, the engine, the model's own function and arena, or what has no symbol.

    Attributes:
        name: the layer's name, `ENGINE`, `MODEL` or `GAPS`.
        constants: bytes of its constants in flash; initialized variables count here and as RAM.
        code: bytes of its functions in flash.
        ram: bytes of its variables.
        symbols: the largest first.
    """

    name: str
    constants: int
    code: int
    ram: int
    symbols: tuple[Symbol, ...]

    @property
    def flash(self) -> int:
        """Bytes in flash."""
        return self.constants + self.code


def size_map(image: Image, layers: Sequence[tuple[str, str]], model: str) -> list[Part]:
    """Deal every byte of flash that the model takes, in the order of the layers; the parts add up to it exactly.

    The last part is what has no symbol, less the few bytes of the empty entry point that the size rule subtracts.

    Args:
        image: the linked firmware.
        layers: name of each layer, and what the names of its symbols begin with.
        model: the model's name.
    """
    dealt: dict[str, list[Symbol]] = {prefix: [] for _, prefix in layers} | {MODEL: [], ENGINE: []}
    for symbol in image.elf.symbols:
        if symbol.name not in _HARNESS and not symbol.name.startswith(_MERGED):
            dealt[_owner(symbol.name, [prefix for _, prefix in layers], model)].append(symbol)
    names = [(name, prefix) for name, prefix in layers] + [(MODEL, MODEL), (ENGINE, ENGINE)]
    parts = [_part(name, dealt[key]) for name, key in names]
    return [*parts, Part(GAPS, image.flash_bytes - sum(part.flash for part in parts), 0, 0, ())]


def _owner(symbol: str, prefixes: Sequence[str], model: str) -> str:
    of = [prefix for prefix in prefixes if symbol == prefix or symbol.startswith(f"{prefix}_")]
    return max(of, key=len) if of else MODEL if symbol.startswith(f"{model}_") else ENGINE


def _part(name: str, symbols: Sequence[Symbol]) -> Part:
    return Part(
        name,
        sum(symbol.size for symbol in symbols if not symbol.is_function and symbol.section != ".bss"),
        sum(symbol.size for symbol in symbols if symbol.is_function),
        sum(symbol.size for symbol in symbols if symbol.section in (".data", ".bss")),
        tuple(sorted(symbols, key=lambda symbol: (-symbol.size, symbol.name))),
    )
