"""Targets: the processor cores that firmware is built for, and the fields of a target in a YAML file.

Knows names and flags only; compilers and the emulator are imported when a target is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bitq.core.fields import choice, number
from bitq.core.registry import Registry

InstructionSet = Literal["ARMv6-M", "ARMv7-M", "ARMv7E-M", "ARMv8-M"]


@dataclass(frozen=True)
class Core:
    """A processor core: what compilers, the emulator and the instruction check call it.

    Attributes:
        display: the name in result.json and on the screen.
        zig_cpu: value of zig's ``-mcpu``; stands for a core without FPU.
        gcc_cpu: value of gcc's ``-mcpu``.
        emulated_cpu: Unicorn's CPU model that runs it; never one with fewer instructions than the core has.
        instruction_set: what the linked code may use, integer instructions only. ARMv8-M means the Mainline
            profile without the optional DSP extension, so that the firmware runs on every Cortex-M33.
    """

    display: str
    zig_cpu: str
    gcc_cpu: str
    emulated_cpu: str
    instruction_set: InstructionSet


CORES = {
    "cortex_m0": Core("cortex-m0", "cortex_m0", "cortex-m0", "CORTEX_M0", "ARMv6-M"),
    "cortex_m0plus": Core("cortex-m0plus", "cortex_m0plus", "cortex-m0plus", "CORTEX_M0", "ARMv6-M"),
    "cortex_m3": Core("cortex-m3", "cortex_m3", "cortex-m3", "CORTEX_M3", "ARMv7-M"),
    "cortex_m4": Core("cortex-m4", "cortex_m4", "cortex-m4", "CORTEX_M4", "ARMv7E-M"),
    "cortex_m33": Core("cortex-m33", "cortex_m33", "cortex-m33+nodsp", "CORTEX_M33", "ARMv8-M"),
}


@dataclass
class TargetConfig:
    """One target and what a model may cost on it.

    Attributes:
        name: registry name of the core.
        compiler: ``zig`` (from the Python package, the same everywhere), ``gcc`` (``arm-none-eabi-gcc``);
            ``auto`` is zig.
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
