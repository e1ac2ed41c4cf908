"""What the machine code of a firmware calls: from the disassembly, and from `bitq.h` where a pointer is called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter

from bitq.codegen.emit import runtime_text
from bitq.device.elf import Elf, Symbol
from bitq.device.isa import Instruction

_CALL = re.compile(r"bl|b(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(?:\.[wn])?")
_INDIRECT = re.compile(r"blx|bx")
_DECLARED = re.compile(r"^bitq_(kernel|fill|parts|cell)(?:_kernel)? (bitq_\w+);$", re.MULTILINE)
_LIST = re.compile(r"\{(.*)\}")


def graph(image: Elf, instructions: Sequence[Instruction]) -> dict[str, set[str]]:
    """Return which functions each function of an Arm firmware calls or ends in.

    A pointer may lead to every function whose address is in the image, if its type is one that the caller's file
    calls, or if it is one of the model's static ones.
    """
    functions = {symbol.address: symbol for symbol in image.symbols if symbol.is_function and symbol.size}
    taken = {functions[a].name for a in {*_words(image), *_halves(instructions)} if a in functions}
    calls = {symbol.name: set[str]() for symbol in functions.values()}
    for symbol, instruction in _within(functions, instructions):
        if _CALL.fullmatch(instruction.mnemonic):
            target = int(instruction.operands.rpartition("#")[2], 16)
            inside = symbol.address <= target < symbol.address + symbol.size
            # ARMv6-M also jumps far within a function by bl; any other branch back to its beginning is a loop.
            if not inside or (instruction.mnemonic == "bl" and target == symbol.address):
                calls[symbol.name].add(functions[target].name)
        elif _INDIRECT.fullmatch(instruction.mnemonic) and instruction.operands != "lr":
            calls[symbol.name] |= (taken - image.addresses.keys()) | _targets(symbol.name, taken)
    return calls


def frames(image: Elf, instructions: Sequence[Instruction]) -> dict[str, int]:
    """Return the most bytes that each function of an Arm firmware takes of the stack."""
    functions = {symbol.address: symbol for symbol in image.symbols if symbol.is_function and symbol.size}
    bytes_ = {symbol.name: 0 for symbol in functions.values()}
    for symbol, instruction in _within(functions, instructions):
        bytes_[symbol.name] += _lowered(instruction)
    return bytes_


def deepest(calls: dict[str, set[str]], frames: dict[str, int], entry: str) -> int:
    """Return the most bytes of stack below an entry point.

    Raises:
        CycleError: a function may call itself, also through others.
    """
    below = dict[str, int]()
    for name in TopologicalSorter(calls).static_order():
        below[name] = frames[name] + max((below[called] for called in calls[name]), default=0)
    return below[entry]


def _within(
    functions: dict[int, Symbol], instructions: Sequence[Instruction]
) -> Iterator[tuple[Symbol, Instruction]]:
    current = None
    for instruction in instructions:
        current = functions.get(instruction.address, current)
        if current is not None and instruction.address < current.address + current.size:
            yield current, instruction


def _words(image: Elf) -> Iterator[int]:
    """Yield every aligned word of the image that has bit 0 set, without it: addresses of functions are such words."""
    for _, content in image.loaded:
        for at in range(0, len(content) - 3, 4):
            word = int.from_bytes(content[at : at + 4], "little")
            if word & 1:
                yield word - 1


def _halves(instructions: Sequence[Instruction]) -> Iterator[int]:
    """Yield the addresses of functions that are put together from two halves in a register."""
    low = dict[str, int]()
    for instruction in instructions:
        register, _, value = instruction.operands.partition(", #")
        if instruction.mnemonic == "movw":
            low[register] = int(value, 0)
        elif instruction.mnemonic == "movt" and low.get(register, 0) & 1:
            yield (int(value, 0) << 16 | low[register]) - 1


def _targets(caller: str, taken: set[str]) -> set[str]:
    source = runtime_text(f"{caller}.c")
    types = {name: kind for kind, name in _DECLARED.findall(runtime_text("bitq.h"))}
    called = {kind for kind in types.values() if re.search(rf"\b{kind}\(", source)}
    return {name for name in taken if types.get(name) in called}


def _lowered(instruction: Instruction) -> int:
    name, operands = instruction.mnemonic, instruction.operands
    if name.startswith(("push", "stmdb")) and (name.startswith("push") or operands.startswith("sp!")):
        return 4 * _registers(operands)
    if name.startswith("sub") and operands.startswith("sp"):
        return int(operands.rpartition("#")[2], 0)
    if "[sp, #-" in operands and operands.endswith("!"):
        return int(operands.rpartition("#-")[2].rstrip("]!"), 0)
    return 0


def _registers(operands: str) -> int:
    found = _LIST.search(operands)
    assert found
    return len(found[1].split(","))
