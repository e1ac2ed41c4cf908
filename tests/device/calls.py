"""What the machine code of a firmware calls and takes of the stack: from the disassembly, and where a pointer is
called, from `bitq.h`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

from bitq.codegen.emit import runtime_text
from bitq.device.elf import Elf, Symbol
from bitq.device.isa import Instruction

_CONDITION = "(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?"
_BRANCH = rf"bl|b{_CONDITION}(?:\.[wn])?|(?:c\.)?(?:j(?:al)?|b(?:eq|ne|lt|ge|gt|le)u?z?)"
_CALL = re.compile(rf"(?:{_BRANCH}) (?:\w+, )*#?(-?(?:0x)?[\da-f]+)")
_FAR = re.compile(r"jalr \w+, (\w+), (-?\w+)")
_LINKING = ("bl", "jal", "c.jal", "jalr")
_INDIRECT = re.compile(r"blx|bx|(?:c\.)?jalr?|(?:c\.)?jr")
_RETURN = re.compile(r"(?:lr|ra)?")
_DECLARED = re.compile(r"^bitq_(kernel|fill|parts|cell)(?:_kernel)? (bitq_\w+);$", re.MULTILINE)
_LIST = re.compile(r"\{(.*)\}")
_MOVED = re.compile(rf"(?:c\.)?(add|sub)(?:w|i|i16sp)?{_CONDITION}(?:\.w)? sp, (?:sp, )?#?(-?\w+)")
_STORE = re.compile(r"(?:str|st[mr]|c\.s[wbh]|s[wbh]\b).*")
_LOADED = re.compile(r"ldr(?:\.w)? (\w+), \[pc, #(\w+)\]")
_SET = re.compile(r"(?:movs|movw|mov\.w) (\w+), #(\w+)|(?:c\.)?(?:li|lui) (\w+), (-?\w+)")
_RAISED = re.compile(r"(movt|(?:c\.)?addi) (\w+), (?:(\w+), )?#?(-?\w+)")
_SHIFTED = re.compile(r"lsls (\w+), (\w+), #(\w+)")
_PIECE = re.compile(r"auipc (\w+), (-?\w+)")


def graph(image: Elf, instructions: Sequence[Instruction]) -> dict[str, set[str]]:
    """Return which functions each function of a firmware calls or ends in.

    A pointer may lead to every function whose address is in the image, if its type is one that the caller's file
    calls, or if it is one of the model's static ones.
    """
    functions = _functions(image)
    thumb = 0 if image.is_risc_v else 1
    values = {value for _, _, known in _within(image, instructions) for value in known.values()}
    taken = {functions[a - thumb].name for a in {*_words(image), *values} if a - thumb in functions}
    calls = {symbol.name: set[str]() for symbol in functions.values()}
    for symbol, instruction, known in _within(image, instructions):
        target = _target(image, instruction, known)
        if target is not None:
            inside = symbol.address <= target < symbol.address + symbol.size
            # ARMv6-M also jumps far within a function by bl; any other branch back to its beginning is a loop.
            if not inside or (instruction.mnemonic in _LINKING and target == symbol.address):
                calls[symbol.name].add(functions[target].name)
        elif _INDIRECT.fullmatch(instruction.mnemonic) and not _RETURN.fullmatch(instruction.operands):
            calls[symbol.name] |= (taken - image.addresses.keys()) | _targets(symbol.name, taken)
    return calls


def frames(image: Elf, instructions: Sequence[Instruction]) -> dict[str, float]:
    """Return the most bytes that each function of a firmware takes of the stack.

    Infinitely many where an instruction moves the stack pointer by what cannot be read from the code.
    """
    bytes_ = {symbol.name: 0.0 for symbol in _functions(image).values()}
    for symbol, instruction, known in _within(image, instructions):
        bytes_[symbol.name] += _lowered(instruction, known)
    return bytes_


def deepest(calls: dict[str, set[str]], frames: dict[str, float], entry: str) -> float:
    """Return the most bytes of stack below an entry point.

    Raises:
        CycleError: a function may call itself, also through others.
    """
    below = dict[str, float]()
    for name in TopologicalSorter(calls).static_order():
        below[name] = frames[name] + max((below[called] for called in calls[name]), default=0)
    return below[entry]


def _functions(image: Elf) -> dict[int, Symbol]:
    return {symbol.address: symbol for symbol in image.symbols if symbol.is_function and symbol.size}


def _within(
    image: Elf, instructions: Sequence[Instruction]
) -> Iterator[tuple[Symbol, Instruction, Mapping[str, int]]]:
    """Yield every instruction with its function, and what is known to be in registers before it.

    That is constants alone, from the code before in the order of addresses: what a function sets up where it begins.
    """
    functions, current, known = _functions(image), None, dict[str, int]()
    for instruction in instructions:
        if instruction.address in functions:
            current, known = functions[instruction.address], {"zero": 0}
        if current is not None and instruction.address < current.address + current.size:
            yield current, instruction, known
            if not _STORE.fullmatch(instruction.mnemonic):
                register = instruction.operands.partition(",")[0]
                value = _constant(image, instruction, known)
                known = {name: other for name, other in known.items() if name != register}
                if value is not None:
                    known[register] = value & 0xFFFFFFFF


def _target(image: Elf, instruction: Instruction, known: Mapping[str, int]) -> int | None:
    """Return where a call or a jump leads, if that is in the code."""
    text = f"{instruction.mnemonic} {instruction.operands}"
    if found := _CALL.fullmatch(text):
        # The distance for RISC-V, the address for Arm.
        return int(found[1], 0) + (instruction.address if image.is_risc_v else 0)
    if (found := _FAR.fullmatch(text)) and found[1] in known:
        return known[found[1]] + int(found[2], 0) & 0xFFFFFFFF
    return None


def _constant(image: Elf, instruction: Instruction, known: Mapping[str, int]) -> int | None:
    """Return what an instruction sets its register to, where that follows from the code alone."""
    text = f"{instruction.mnemonic} {instruction.operands}"
    if found := _LOADED.fullmatch(text):
        return _word(image, (instruction.address + 4 & ~3) + int(found[2], 0))
    if found := _SET.fullmatch(text):
        return int(found[2] or found[4], 0) << (12 if "lui" in instruction.mnemonic else 0)
    if found := _PIECE.fullmatch(text):
        return instruction.address + (int(found[2], 0) << 12)
    if (found := _SHIFTED.fullmatch(text)) and found[2] in known:
        return known[found[2]] << int(found[3], 0)
    if (found := _RAISED.fullmatch(text)) and (found[3] or found[2]) in known:
        value = known[found[3] or found[2]]
        return int(found[4], 0) << 16 | value & 0xFFFF if found[1] == "movt" else value + int(found[4], 0)
    return None


def _word(image: Elf, address: int) -> int | None:
    for begin, content in image.loaded:
        if begin <= address <= begin + len(content) - 4:
            return int.from_bytes(content[address - begin :][:4], "little")
    return None


def _words(image: Elf) -> Iterator[int]:
    """Yield every aligned word of the image; addresses of functions in tables are such words."""
    for _, content in image.loaded:
        for at in range(0, len(content) - 3, 4):
            yield int.from_bytes(content[at : at + 4], "little")


def _targets(caller: str, taken: set[str]) -> set[str]:
    source = runtime_text(f"{caller}.c")
    types = {name: kind for kind, name in _DECLARED.findall(runtime_text("bitq.h"))}
    called = {kind for kind in types.values() if re.search(rf"\b{kind}\(", source)}
    return {name for name in taken if types.get(name) in called}


def _lowered(instruction: Instruction, known: Mapping[str, int]) -> float:
    """Return by how much an instruction lowers the stack pointer, 0 where it raises it."""
    name, operands = instruction.mnemonic, instruction.operands
    if name.startswith("push") or (name.startswith("stmdb") and operands.startswith("sp!")):
        return 4 * _registers(operands)
    if "[sp, #-" in operands and operands.endswith("!"):
        return int(operands.rpartition("#-")[2].rstrip("]!"), 0)
    if found := _MOVED.fullmatch(f"{name} {operands}"):
        by = known.get(found[2]) if found[2][0].isalpha() else int(found[2], 0)
        return math.inf if by is None else max(0, _signed(by if found[1] == "sub" else -by))
    moves = operands.startswith("sp,") or "sp!" in operands or name.startswith("vpush")
    return math.inf if moves and not name.startswith(("cmp", "ldm")) else 0


def _signed(value: int) -> int:
    return (value + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def _registers(operands: str) -> int:
    found = _LIST.search(operands)
    assert found
    return len(found[1].split(","))
