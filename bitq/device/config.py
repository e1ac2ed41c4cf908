"""Targets: the processor cores that firmware is built for, and the fields of a target in a YAML file.

Knows names and flags only; compilers and the emulator are imported when a target is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bitq.core.fields import choice, number
from bitq.core.registry import Registry

InstructionSet = Literal[
    "ARMv6-M", "ARMv7-M", "ARMv7E-M", "ARMv8-M", "ARMv8-M with DSP", "ARMv8.1-M with DSP", "RV32IMC", "RV32EC"
]


@dataclass(frozen=True)
class Core:
    """A processor core: what compilers, the emulator and the instruction check call it.

    Attributes:
        display: the name in result.json and on the screen.
        zig: its target and ``-mcpu``; they stand for a core without FPU.
        gcc: the same for gcc.
        emulated_cpu: Unicorn's CPU model that runs it, never one with fewer instructions than the core has; empty
            where there is none.
        instruction_set: what the linked code may use, integer instructions only. ARMv8-M means the Mainline
            profile without the optional DSP extension, so that the firmware runs on every Cortex-M33.
    """

    display: str
    zig: tuple[str, ...]
    gcc: tuple[str, ...]
    emulated_cpu: str
    instruction_set: InstructionSet

    @property
    def is_risc_v(self) -> bool:
        """Whether it is a RISC-V core; all others are Arm."""
        return self.instruction_set in ("RV32IMC", "RV32EC")

    @property
    def gcc_program(self) -> str:
        """Name of the gcc that builds for it."""
        return "riscv64-unknown-elf-gcc" if self.is_risc_v else "arm-none-eabi-gcc"


def _arm(display: str, zig_cpu: str, gcc_cpu: str, emulated_cpu: str, instruction_set: InstructionSet) -> Core:
    zig = ("-target", "thumb-freestanding-eabi", f"-mcpu={zig_cpu}")
    gcc = ("-mthumb", f"-mcpu={gcc_cpu}", "-mfloat-abi=soft")
    return Core(display, zig, gcc, emulated_cpu, instruction_set)


def _risc_v(display: str, extensions: str, abi: str, instruction_set: InstructionSet) -> Core:
    # Unicorn's model of RV32 runs more than these cores have; the instruction check holds the line.
    zig = ("-target", "riscv32-freestanding-none", f"-mcpu=generic_rv32+{'+'.join(extensions)}", f"-mabi={abi}")
    base = extensions if extensions.startswith("e") else f"i{extensions}"
    return Core(display, zig, (f"-march=rv32{base}", f"-mabi={abi}"), "BASE32", instruction_set)


CORES = {
    "cortex_m0": _arm("cortex-m0", "cortex_m0", "cortex-m0", "CORTEX_M0", "ARMv6-M"),
    "cortex_m0plus": _arm("cortex-m0plus", "cortex_m0plus", "cortex-m0plus", "CORTEX_M0", "ARMv6-M"),
    "cortex_m3": _arm("cortex-m3", "cortex_m3", "cortex-m3", "CORTEX_M3", "ARMv7-M"),
    "cortex_m4": _arm("cortex-m4", "cortex_m4", "cortex-m4", "CORTEX_M4", "ARMv7E-M"),
    "cortex_m33": _arm("cortex-m33", "cortex_m33", "cortex-m33+nodsp", "CORTEX_M33", "ARMv8-M"),
    "cortex_m33_dsp": _arm("cortex-m33-dsp", "cortex_m33+dsp", "cortex-m33", "CORTEX_M33", "ARMv8-M with DSP"),
    "cortex_m55": _arm("cortex-m55", "cortex_m55", "cortex-m55+nomve", "", "ARMv8.1-M with DSP"),
    "rv32imc": _risc_v("rv32imc", "mc", "ilp32", "RV32IMC"),
    "rv32ec": _risc_v("rv32ec", "ec", "ilp32e", "RV32EC"),
}


@dataclass
class TargetConfig:
    """One target and what a model may cost on it.

    Attributes:
        name: registry name of the core.
        compiler: ``zig`` (from the Python package, the same everywhere), ``gcc`` (``arm-none-eabi-gcc``,
            ``riscv64-unknown-elf-gcc``); ``auto`` is zig.
        optimize: ``size`` (-Os), ``balanced`` (-O2 without unrolling: predictable size), ``speed`` (-O2).
        samples: how many samples to execute on the emulated core, from the first; 0 means all.
        hop: for recurrent networks, samples between two classes of functions that take one sample at a time; None
            leaves these out.
        flash_bytes, ram_bytes, stack_bytes: budgets of the model alone (see `bitq.device.verify.Measurement`).
        instructions: budget per inference. A budget of None is no limit.
    """

    name: str = "cortex_m0plus"
    compiler: str = choice("auto", ("auto", "zig", "gcc"))
    optimize: str = choice("balanced", ("size", "balanced", "speed"))
    samples: int = number(0, 0, 10**9, "samples")
    hop: int | None = number(None, 1, 10**6, "samples")
    flash_bytes: int | None = number(None, 1, 2**32, "bytes")
    ram_bytes: int | None = number(None, 1, 2**32, "bytes")
    stack_bytes: int | None = number(None, 1, 2**32, "bytes")
    instructions: int | None = number(None, 1, 10**12, "instructions")

    @property
    def core(self) -> Core:
        """The core that ``name`` stands for.

        Raises:
            ConfigError: no core has this name; the message lists those that exist.
        """
        return TARGETS.create(self)

    def check(self, path: str) -> None:
        """Refuse an unknown name (see `bitq.core.fields.validate`)."""
        _ = TARGETS[self.name]


def core_of(config: TargetConfig) -> Core:
    """Return the core that a target names."""
    return CORES[config.name]


TARGETS: Registry[Core] = Registry("target")
for _name in CORES:
    TARGETS.register(_name, TargetConfig, core_of)
