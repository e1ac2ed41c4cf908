"""Runs a model on QEMU where that is installed: a second opinion, and the only one on cores that Unicorn lacks.

QEMU's boards have their memories elsewhere than `bitq.device.image.link` puts them, so the same sources, compiler and
flags are linked once more; what an inference executes does not depend on where it lies.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import ToolError
from bitq.core.processes import find_tool, run_tool
from bitq.device import image
from bitq.device.config import Core, TargetConfig
from bitq.device.deployment import Deployment

_PROGRAM = "qemu-system-arm"
_TIMEOUT_S = 600.0
_APPLICATION = ("Reset_Handler", "main", "bitq_host", "?")


class _Board(NamedTuple):
    """A machine of QEMU, and where its memories are."""

    machine: str
    flash: str
    ram: str


_SMALL = _Board("microbit", "ORIGIN = 0, LENGTH = 256K", "ORIGIN = 0x20000000, LENGTH = 16K")
_BOARDS = {
    "cortex-m0": _SMALL,
    "cortex-m0plus": _SMALL,
    "cortex-m3": _Board("mps2-an385", "ORIGIN = 0, LENGTH = 4M", "ORIGIN = 0x20000000, LENGTH = 4M"),
    "cortex-m4": _Board("mps2-an386", "ORIGIN = 0, LENGTH = 4M", "ORIGIN = 0x20000000, LENGTH = 4M"),
    "cortex-m33": _Board("mps2-an505", "ORIGIN = 0x10000000, LENGTH = 4M", "ORIGIN = 0x30000000, LENGTH = 32K"),
    "cortex-m33-dsp": _Board("mps2-an505", "ORIGIN = 0x10000000, LENGTH = 4M", "ORIGIN = 0x30000000, LENGTH = 32K"),
    "cortex-m55": _Board("mps3-an547", "ORIGIN = 0, LENGTH = 512K", "ORIGIN = 0x20000000, LENGTH = 512K"),
}


class Execution(NamedTuple):
    """Scores int32 ``(n, k)``, winners int32 ``(n,)``, and the instructions of the first inference."""

    scores: NDArray[np.int32]
    winners: NDArray[np.int32]
    instructions: int


def runs(core: Core) -> bool:
    """Return whether QEMU is there and has a board with this core."""
    return core.display in _BOARDS and find_tool(_PROGRAM) is not None


def execute(deployment: Deployment, target: TargetConfig, inputs: NDArray[Any], folder: Path) -> Execution:
    """Run every input.

    Args:
        deployment: the model.
        target: core, compiler and optimization.
        inputs: ``(n, *input_shape)``, at least one row.
        folder: a temporary folder.

    Raises:
        DeployError: the model cannot be linked.
        ToolError: QEMU fails, hangs, or the model did not return for every input.
    """
    board = _BOARDS[target.core.display]
    elf = image.link_at(deployment, target, folder, {"FLASH": board.flash, "RAM": board.ram})
    command = [_PROGRAM, "-M", board.machine, "-display", "none", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting", "-kernel", str(elf.path)]
    rows = deployment.samples(inputs)
    output = run_tool(command, timeout_s=_TIMEOUT_S, stdin=rows.tobytes())
    expected = len(rows) * (deployment.scores + 1) * 4
    if len(output) != expected:
        raise ToolError(f"{_PROGRAM} returned {len(output)} bytes, expected {expected}.")
    results = np.frombuffer(output, "<i4").reshape(len(rows), -1).astype(np.int32)
    trace = folder / "qemu.log"
    # One line per instruction.
    traced = [*command, *_one_by_one(), "-d", "exec,nochain", "-D", str(trace)]
    run_tool(traced, timeout_s=_TIMEOUT_S, stdin=rows[:1].tobytes())
    counted = 0
    with trace.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("Trace "):
                counted += elf.function_at(int(line.split("[")[1].split("/")[1], 16)) not in _APPLICATION
    return Execution(np.ascontiguousarray(results[:, :-1]), results[:, -1].copy(), counted)


@functools.cache
def _one_by_one() -> list[str]:
    """Return the option for blocks of one instruction, which got another name in QEMU 8.1."""
    version = re.search(r"version (\d+)\.(\d+)", run_tool([_PROGRAM, "--version"], timeout_s=30).decode())
    if version is None:
        raise ToolError(f"{_PROGRAM} --version tells no version; is it QEMU?")
    old = (int(version[1]), int(version[2])) < (8, 1)
    return ["-singlestep"] if old else ["-accel", "tcg,one-insn-per-tb=on"]
