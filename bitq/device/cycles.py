"""Estimates, and called so: cycles from the tables of the cores' manuals, energy from currents in data sheets.

Executed instructions are counted; what each takes on a chip is not. The tables hold for memory without wait states.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitq.device.elf import Elf
from bitq.device.isa import Instruction

_SEVERAL = re.compile(r"(?:push|pop|(?:ld|st)m\w*)(?:\.w)?")
_MEMORY = re.compile(r"(?:c\.)?(?:ldr|str|l[bhw]u?|s[bhw])(?:s?[bht]|ex[bh]?)?(?:sp)?(?:\.w)?")
_DIVIDE = re.compile(r"[us]div|div\w*|rem\w*")
_LONG = re.compile(r"[us]m(?:ull|lal)|umaal")
_JUMP = re.compile(r"(?:c\.)?(?:j|jal|jr|jalr|ret)")


@dataclass(frozen=True)
class Timing:
    """Cycles of a core; what is not named takes 1.

    Attributes:
        source: the manual.
        memory: a load or a store.
        next_memory: one that directly follows another one.
        refill: what a taken branch adds.
        call: what ``bl`` adds to that, and a return that reads the address from memory.
        accumulate: a multiplication with an addition.
        multiply: one without.
        long: a multiplication to 64 bits.
        divide: the most of a division.
        jump: of an instruction that always branches, before the refill.
    """

    source: str
    memory: int
    next_memory: int
    refill: int
    call: int
    accumulate: int = 1
    multiply: int = 1
    long: int = 1
    divide: int = 0
    jump: int = 1

    def of(self, instruction: Instruction, before: Instruction | None) -> int:
        """Return the cycles of an instruction that does not branch, or without what a taken branch adds."""
        name, operands = instruction.mnemonic, instruction.operands
        if _SEVERAL.fullmatch(name):
            return 1 + len(operands.split(",")) - ("!" in operands) + self.call * ("pc" in operands)
        if name in ("ldrd", "strd"):
            return 3
        if _MEMORY.fullmatch(name):
            follows = before is not None and _MEMORY.fullmatch(before.mnemonic)
            return self.next_memory if follows else self.memory
        if name == "bl":
            return 1 + self.call
        if _JUMP.fullmatch(name):
            return self.jump
        if name in ("tbb", "tbh"):
            return 2
        if name in ("mla", "mls"):
            return self.accumulate
        if name in ("mul", "muls"):
            return self.multiply
        return self.long if _LONG.match(name) else self.divide if _DIVIDE.fullmatch(name) else 1


_M4 = Timing("Arm 100166, table 3-1, 2 cycles of refill", 2, 1, 2, 0, divide=12)
TIMINGS = {
    "cortex-m0": Timing("Arm DDI 0432, table 3-1", 2, 2, 2, 1),
    "cortex-m0plus": Timing("Arm DDI 0484, table 3-1", 2, 2, 1, 1),
    "cortex-m3": Timing("Arm DDI 0337, table 3-1, 2 cycles of refill", 2, 1, 2, 0, accumulate=2, long=5, divide=12),
    "cortex-m4": _M4,
    "rv32imc": Timing("Ibex, pipeline details, multiplier of 3 cycles", 2, 2, 2, 0, multiply=3, divide=38, jump=0),
}
"""By name of the core. Arm publishes none for Cortex-M33 and M55."""


@dataclass(frozen=True)
class Chip:
    """What a chip draws while it runs from flash, by its data sheet, CoreMark where it names one.

    Attributes:
        name: the chip.
        source: the data sheet.
        microamperes: per MHz.
        volts: of the supply.
    """

    name: str
    source: str
    microamperes: float
    volts: float

    def joules(self, cycles: int) -> float:
        """Return the energy of the active core: cycles times charge per cycle times voltage."""
        return cycles * self.microamperes * 1e-12 * self.volts


CHIPS = {
    "cortex-m0plus": Chip("CC2340R2", "TI SWRS282", 53, 3.0),
}


def table(image: Elf, instructions: Sequence[Instruction], timing: Timing) -> NDArray[np.uint32]:
    """Return cycles summed up over the addresses, so that those of a block are one subtraction.

    Returns:
        At index i the cycles of all instructions that begin in the first i halfwords, as `bitq.device.isa.starts`.
    """
    base = image.code[0].address
    end = image.code[-1].address + len(image.code[-1].content)
    cycles = np.zeros((end - base) // 2 + 1, np.uint32)
    before = None
    for instruction in instructions:
        cycles[(instruction.address - base) // 2 + 1] = timing.of(instruction, before)
        before = instruction
    return np.cumsum(cycles, dtype=np.uint32)


def estimate(core: str, cycles: int) -> str:
    """Return cycles in words, and the energy, one significant figure, where a chip of the core is known."""
    text = f"{cycles:,} cycles without wait states ({TIMINGS[core].source})"
    chip = CHIPS.get(core)
    if chip is None or cycles == 0:
        return text
    microjoules = chip.joules(cycles) * 1e6
    digits = -math.floor(math.log10(microjoules))
    about = f"{round(microjoules, digits):.{max(0, digits)}f} µJ on a {chip.name}"
    return f"{text}, about {about} at {chip.volts:g} V ({chip.microamperes:g} µA/MHz, {chip.source})"
