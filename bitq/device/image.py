"""Links a deployed model into firmware for one core, and the same firmware without the model.

The difference between the two is what the model costs; start-up, vectors and the caller's buffers drop out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitq.device import elf
from bitq.device.compiler import OPTIMIZE, SMALLEST, STRICT, Compiler, target_compiler
from bitq.device.config import TargetConfig
from bitq.device.deployment import Deployment

_FIRMWARE = Path(__file__).parent / "firmware"
# Compilers turn loops into calls of memset and memcpy unless told that there is no library.
_FREESTANDING = [
    "-ffreestanding",
    "-fno-builtin",
    "-fno-common",
    "-fomit-frame-pointer",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-g1",
]


@dataclass(frozen=True)
class Image:
    """A linked firmware and its sizes in bytes.

    Attributes:
        elf: the image with the model.
        compiler: name and version.
        flags: those that decide about instructions and sizes.
        flash_bytes: .text + .rodata + .data minus the same of the image with an empty entry point.
        static_ram_bytes: .data + .bss minus the same of the image with an empty entry point.
    """

    elf: elf.Elf
    compiler: str
    flags: str
    flash_bytes: int
    static_ram_bytes: int

    @property
    def flash_image_bytes(self) -> int:
        """.text + .rodata + .data of the image with start-up and vectors."""
        return self.elf.flash_bytes


def link(deployment: Deployment, target: TargetConfig, folder: Path, libraries: Sequence[Path] = ()) -> Image:
    """Build the firmware of a model and its empty twin into a folder.

    Args:
        deployment: the model.
        target: core, compiler and optimization.
        folder: takes the images.
        libraries: archives that are linked behind the model, whose functions count as its own.

    Raises:
        DeployError: a function is undefined: the firmware is linked without any runtime library.
        ToolError: the compiler is missing, refuses the sources, hangs or leaves nonsense.
    """
    core = target.core
    compiler, chosen, flags = _with(deployment, target, _FIRMWARE / "link.ld")
    harness = [_FIRMWARE / ("start_riscv.c" if core.is_risc_v else "start.c"), _FIRMWARE / "main.c"]
    sources = [source.resolve() for source in deployment.sources]
    compiler.build(flags, [*harness, *sources, *libraries], folder / "firmware.elf")
    compiler.build(flags, [*harness, _FIRMWARE / "empty.c"], folder / "empty.elf")
    full, empty = elf.read(folder / "firmware.elf"), elf.read(folder / "empty.elf")
    return Image(
        elf=full,
        compiler=compiler.name,
        flags=" ".join([*chosen, "-nostdlib"]),
        flash_bytes=full.flash_bytes - empty.flash_bytes,
        static_ram_bytes=full.static_ram_bytes - empty.static_ram_bytes,
    )


def link_at(deployment: Deployment, target: TargetConfig, folder: Path, memories: Mapping[str, str]) -> elf.Elf:
    """Build a model for an Arm core once more, the same but for where it lies, with an application for QEMU.

    Args:
        deployment: the model.
        target: core, compiler and optimization.
        folder: takes the image, ``qemu.elf``.
        memories: origin and length of ``FLASH`` and ``RAM``, as a linker script says them.

    Raises:
        DeployError, ToolError: as `link`.
    """
    script = (_FIRMWARE / "link.ld").read_text(encoding="utf-8")
    for name, memory in memories.items():
        script = re.sub(rf"({name} \(\w+\)) : .*", rf"\1 : {memory}", script)
    (folder / "qemu.ld").write_text(script)
    compiler, _, flags = _with(deployment, target, folder / "qemu.ld")
    harness = [_FIRMWARE / "start.c", _FIRMWARE / "main_qemu.c"]
    compiler.build(flags, [*harness, *(source.resolve() for source in deployment.sources)], folder / "qemu.elf")
    return elf.read(folder / "qemu.elf")


def _with(deployment: Deployment, target: TargetConfig, script: Path) -> tuple[Compiler, list[str], list[str]]:
    """Return the compiler, those of its flags that decide about instructions and sizes, and all of them."""
    core = target.core
    compiler = target_compiler(target.compiler, core.gcc_program)
    optimize = SMALLEST[compiler.kind] if target.optimize == "size" else OPTIMIZE[target.optimize]
    chosen = [*(core.zig if compiler.kind == "zig" else core.gcc), *optimize]
    flags = [
        *chosen,
        *_FREESTANDING,
        *(["-fno-tree-loop-distribute-patterns"] if compiler.kind == "gcc" else ["-fno-sanitize=all"]),
        *STRICT,
        *deployment.definitions,
        f"-I{deployment.folder.resolve()}",
        "-nostdlib",
        "-Wl,--gc-sections",
        "-Wl,-e,Reset_Handler",
        "-Wl,-n",
        "-T",
        str(script),
    ]
    return compiler, chosen, flags
