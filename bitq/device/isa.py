"""Disassembles the linked firmware and holds every instruction against the target's instruction set.

An emulator does not police this (Unicorn's M0 runs ``cbz``, its M3 runs ``smlad``), and inline assembly or a
wrong compiler flag would only show on the chip.

Sources: Arm DDI 0419 (ARMv6-M) A5.2 and A5.3; Arm DDI 0403 (ARMv7-M) A5, where the DSP extension is marked;
Arm DDI 0553 (ARMv8.1-M) C2.4; the RISC-V unprivileged manual, chapters RV32I, RV32E, M and C.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DeployError
from bitq.device.config import InstructionSet
from bitq.device.elf import Elf

_ARMV6M_16BIT_EXCLUDED = re.compile(r"cbn?z|it[te]{0,3}|setend|hlt")
_ARMV6M_32BIT = frozenset({"bl", "mrs", "msr", "dmb", "dsb", "isb", "udf", "udf.w"})
_CONDITION = r"(?:eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(?:\.w)?"
_DSP = re.compile(
    r"(?:pkh(?:bt|tb)|q(?:add|sub|dadd|dsub)|(?:s|q|sh|u|uq|uh)(?:add16|add8|asx|sax|sub16|sub8)|sel"
    r"|smla(?:bb|bt|tb|tt|dx?|ld?x?bb|lbb|lbt|ltb|ltt|ldx?|wb|wt)|smls(?:dx?|ldx?)|smm(?:la|ls|ul)r?|smuadx?"
    r"|smul(?:bb|bt|tb|tt|wb|wt)|smusdx?|[su]sat16|[su]xta(?:b|b16|h)|[su]xtb16|umaal|usada?8)" + _CONDITION
)
_FPU = re.compile(r"v[a-z].*|fld.*|fst.*|(?:cdp|ldc|stc|mcr|mrc)2?r?2?l?" + _CONDITION)
_ARMV8M = re.compile(r"(?:lda|stl)(?:ex)?[bh]?|sg|bl?xns|tt[at]?t?" + _CONDITION)
_ARMV8_1M = re.compile(
    r"(?:wls|dls|le|cs(?:el|inc|inv|neg)|cset|csetm|cinc|cinv|cneg|bf(?:x|l|lx|csel)?)" + _CONDITION
)
# With what disassemblers call some of these: mv, li, ret, …
_RV32I = re.compile(
    r"lui|auipc|jal|jalr|b(?:eq|ne|lt|ge|ltu|geu)|l[bh]u?|lw|s[bhw]|addi|sltiu?|(?:x?or|and)i?|s[lr]li?|srai?"
    r"|add|sub|sltu?|fence|ecall|ebreak|nop|mv|li|not|neg|s(?:eq|ne|lt|gt)z|jr?|ret|b(?:eq|ne|le|ge|lt|gt)z"
)
_RV32M = re.compile(r"mul(?:h(?:su|u)?)?|(?:div|rem)u?")
_RV32C = re.compile(
    r"c\.(?:addi(?:4spn|16sp)?|[ls]w(?:sp)?|nop|add|jal|li|lui|srli|srai|slli|andi|sub|xor|or|and|j|beqz|bnez|jr|jalr"
    r"|mv|ebreak)"
)
_UPPER_REGISTERS = re.compile(r"\b(?:a[67]|s(?:[2-9]|1[01])|t[3-6]|x(?:1[6-9]|2\d|3[01]))\b")


class Instruction(NamedTuple):
    """One decoded instruction; ``size`` is 2 or 4 bytes."""

    address: int
    size: int
    mnemonic: str
    operands: str


def disassemble(image: Elf) -> list[Instruction]:
    """Decode all instructions of an image, by address.

    Raises:
        DeployError: some bytes between code are no instruction.
    """
    import capstone

    if image.is_risc_v:
        engine = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC)
    else:
        mode = capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8
        engine = capstone.Cs(capstone.CS_ARCH_ARM, mode)
    decoded: list[Instruction] = []
    for code in image.code:
        at, end = code.address, code.address + len(code.content)
        while at < end:
            for found in engine.disasm_lite(code.content[at - code.address :], at):
                decoded.append(Instruction(*found))
                at = found[0] + found[1]
            if at == end:
                break
            rest = code.content[at - code.address :][:4]
            name = None if image.is_risc_v else _armv8_1m(rest)
            if name is None:
                raise DeployError(
                    f"{image.function_at(at)} at {at:#010x}: bytes {rest.hex(' ')} are no known instruction."
                )
            decoded.append(Instruction(at, 4, name, ""))
            at += 4
    return decoded


def _armv8_1m(content: bytes) -> str | None:
    """Name one of the instructions of Armv8.1-M that the disassembler does not know: loops and selections."""
    first, second = int.from_bytes(content[:2], "little"), int.from_bytes(content[2:4], "little")
    if first & 0xFFF0 == 0xF040:
        return "dls" if second == 0xE001 else "wls" if second & 0xF001 == 0xC001 else None
    if first in (0xF00F, 0xF02F) and second & 0xF001 == 0xC001:
        return "le"
    if first & 0xFFF0 == 0xEA50 and second & 0xC000 == 0x8000:
        return ("csel", "csinc", "csinv", "csneg")[second >> 12 & 3]
    return None


def check(image: Elf, instructions: Sequence[Instruction], allowed: InstructionSet, core: str) -> None:
    """Refuse an image with an instruction that the core does not have.

    Args:
        image: the firmware, for function names.
        instructions: its instructions.
        allowed: the core's instruction set.
        core: the core's name, for the message.

    Raises:
        DeployError: names the first such instruction, its address and its function.
    """
    for instruction in instructions:
        if not is_allowed(instruction, allowed):
            raise DeployError(
                f"{image.function_at(instruction.address)} at {instruction.address:#010x}: "
                f"'{instruction.mnemonic} {instruction.operands}' is not in {allowed}, which {core} has."
            )


def is_allowed(instruction: Instruction, allowed: InstructionSet) -> bool:
    """Return whether an instruction belongs to an instruction set."""
    name = instruction.mnemonic
    if allowed in ("RV32IMC", "RV32EC"):
        if allowed == "RV32EC" and _UPPER_REGISTERS.search(instruction.operands):
            return False
        patterns = [_RV32I, _RV32C, *([_RV32M] if allowed == "RV32IMC" else [])]
        return any(pattern.fullmatch(name) for pattern in patterns)
    if allowed == "ARMv6-M":
        # All 16-bit Thumb instructions but three, and six 32-bit ones.
        if instruction.size == 2:
            return _ARMV6M_16BIT_EXCLUDED.fullmatch(name) is None
        return name in _ARMV6M_32BIT
    refused = [_FPU]
    if allowed in ("ARMv7-M", "ARMv8-M"):
        refused.append(_DSP)
    if allowed in ("ARMv7-M", "ARMv7E-M"):
        refused.append(_ARMV8M)
    if allowed != "ARMv8.1-M with DSP":
        refused.append(_ARMV8_1M)
    return not any(pattern.fullmatch(name) for pattern in refused)


def starts(image: Elf, instructions: Sequence[Instruction]) -> tuple[int, NDArray[np.uint32]]:
    """Return where instructions begin, summed up, so that a block's length in instructions is one subtraction.

    Returns:
        The address of halfword 0, and at index i the number of instructions that begin in the first i halfwords.
    """
    base = image.code[0].address
    end = image.code[-1].address + len(image.code[-1].content)
    begins = np.zeros((end - base) // 2 + 1, np.uint32)
    addresses = np.array([instruction.address for instruction in instructions], np.int64)
    begins[(addresses - base) // 2 + 1] = 1
    return base, np.cumsum(begins, dtype=np.uint32)


def stack_points(instructions: Sequence[Instruction]) -> list[int]:
    """Return the addresses behind every instruction that can lower the stack pointer."""
    return [
        found.address + found.size
        for found in instructions
        if found.mnemonic.startswith("push")
        or (found.operands.startswith("sp,") and not found.mnemonic.startswith("cmp"))
        or "sp!" in found.operands
        or "[sp, #-" in found.operands
    ]
