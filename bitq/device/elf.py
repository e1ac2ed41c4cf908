"""What a linked firmware holds: section sizes, symbols, and which bytes of it are instructions.

Read with pyelftools from the file that the linker wrote; everything that is measured or checked starts here.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from bitq.core.errors import ToolError

SIZED = (".text", ".rodata", ".data", ".bss")


@dataclass(frozen=True)
class Symbol:
    """A function or an object: where it lies and how many bytes it takes."""

    name: str
    section: str
    address: int
    size: int
    is_function: bool


@dataclass(frozen=True)
class Code:
    """A stretch of instructions without literals in between."""

    address: int
    content: bytes


@dataclass(frozen=True)
class Elf:
    """A linked firmware.

    Attributes:
        path: the file.
        sizes: bytes of the sections in `SIZED`.
        symbols: functions and objects with a section, by address; bit 0 of a Thumb address is cleared.
        addresses: every global symbol, those of the linker script too.
        code: all instructions, by address.
        loaded: (address in flash, bytes) of everything that is programmed into the chip.
        is_risc_v: whether the code is RISC-V; else it is Thumb.
    """

    path: Path
    sizes: Mapping[str, int]
    symbols: tuple[Symbol, ...]
    addresses: Mapping[str, int]
    code: tuple[Code, ...]
    loaded: tuple[tuple[int, bytes], ...]
    is_risc_v: bool = False

    @property
    def flash_bytes(self) -> int:
        """Bytes in flash: .text + .rodata + .data."""
        return self.sizes[".text"] + self.sizes[".rodata"] + self.sizes[".data"]

    @property
    def static_ram_bytes(self) -> int:
        """Bytes in RAM without the stack: .data + .bss."""
        return self.sizes[".data"] + self.sizes[".bss"]

    @cached_property
    def _functions(self) -> list[Symbol]:
        return [symbol for symbol in self.symbols if symbol.is_function]

    def function_at(self, address: int) -> str:
        """Return the name of the function around an address, or ``"?"``."""
        index = bisect.bisect_right(self._functions, address, key=lambda symbol: symbol.address) - 1
        if index >= 0 and address < self._functions[index].address + max(2, self._functions[index].size):
            return self._functions[index].name
        return "?"


def read(path: Path) -> Elf:
    """Read a linked firmware.

    Raises:
        ToolError: the file is no complete ELF for Arm or RISC-V with symbols.
    """
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            return _read(path, elf)
    except (ELFError, KeyError, ValueError, AttributeError, OSError) as error:
        raise ToolError(f"{path.name}: the linker left no valid firmware ({error}).") from error


def _read(path: Path, elf: Any) -> Elf:
    table = elf.get_section_by_name(".symtab")
    machine = elf["e_machine"]
    if machine not in ("EM_ARM", "EM_RISCV") or table is None:
        raise ValueError("for neither Arm nor RISC-V, or stripped of its symbols")
    sections = dict(enumerate(elf.iter_sections()))
    symbols: list[Symbol] = []
    addresses: dict[str, int] = {}
    marks: list[tuple[int, bool]] = []
    for entry in table.iter_symbols():
        kind, index, value = entry["st_info"]["type"], entry["st_shndx"], int(entry["st_value"])
        section = sections[index].name if isinstance(index, int) else ""
        if section == ".text" and entry.name[:2] in ("$t", "$x", "$d"):
            marks.append((value, entry.name[1] != "d"))
        elif kind in ("STT_FUNC", "STT_OBJECT") and section in SIZED:
            is_function = kind == "STT_FUNC"
            symbols.append(Symbol(entry.name, section, value & ~int(is_function), entry["st_size"], is_function))
        if entry["st_info"]["bind"] == "STB_GLOBAL":
            addresses[entry.name] = value & ~int(kind == "STT_FUNC")
    found = {section.name: section for section in sections.values()}
    text = found[".text"]
    # RISC-V compilers put no data into .text, and not all of them mark it.
    marks = marks or [(int(text["sh_addr"]), True)]
    return Elf(
        path=path,
        sizes={name: int(found[name]["sh_size"]) if name in found else 0 for name in SIZED},
        symbols=tuple(sorted(symbols, key=lambda symbol: (symbol.address, symbol.name))),
        addresses=addresses,
        code=_code(int(text["sh_addr"]), text.data(), marks),
        loaded=tuple(
            (int(segment["p_paddr"]), segment.data())
            for segment in elf.iter_segments()
            if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
        ),
        is_risc_v=machine == "EM_RISCV",
    )


def _code(base: int, text: bytes, marks: list[tuple[int, bool]]) -> tuple[Code, ...]:
    """Cut .text at the ABI's mapping symbols: ``$t`` and ``$x`` begin instructions, ``$d`` begins data."""
    ordered = sorted(dict(marks).items())
    ends = [address for address, _ in ordered[1:]] + [base + len(text)]
    return tuple(
        Code(begin, text[begin - base : end - base])
        for (begin, is_code), end in zip(ordered, ends, strict=True)
        if is_code and end > begin
    )
