"""Runs firmware on an emulated core: writes a job, starts the worker program, reads back what came out.

The emulator itself lives in a process of its own (`bitq.device.unicorn_worker`) and is optional.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DeployError, ToolError
from bitq.core.processes import run_tool
from bitq.device import cycles, isa
from bitq.device.compiler import host_compiler
from bitq.device.config import Core
from bitq.device.deployment import Deployment
from bitq.device.elf import Elf
from bitq.device.job import Job

INSTRUCTION_LIMIT = 1_000_000_000
"""Instructions after which one inference counts as hung: minutes on a chip, seconds here."""

STALL_S = 300.0
"""Seconds without a finished sample after which the worker counts as hung."""

_FLASH_BASE, _FLASH_BYTES = 0x0800_0000, 15 << 20  # as in firmware/link.ld
_RAM_BASE, _RAM_BYTES = 0x2000_0000, 16 << 20
_COUNT = Path(__file__).with_name("count.c")


@dataclass(frozen=True)
class Execution:
    """What the emulated core did.

    Attributes:
        scores: int32 ``(n, k)``.
        winners: int32 ``(n,)``.
        instructions: mean per inference over the counted samples, rounded; from the entry of ``_run`` to its
            return; an instruction in an IT block counts whether its condition holds or not.
        most_instructions: the most in one inference.
        cycles: estimated, the mean as of the instructions; None where no manual gives them (`bitq.device.cycles`).
        counted: samples that were counted: all, or the first few where no native counter could be built.
        stack_bytes: deepest stack in any counted call, from the caller's stack pointer downwards.
    """

    scores: NDArray[np.int32]
    winners: NDArray[np.int32]
    instructions: int
    most_instructions: int
    cycles: int | None
    counted: int
    stack_bytes: int


def runs(core: Core) -> bool:
    """Return whether the emulator is there and has a model of this core."""
    return bool(core.emulated_cpu) and is_installed()


def is_installed() -> bool:
    """Return whether the emulator is there."""
    return importlib.util.find_spec("unicorn") is not None


def execute(
    image: Elf,
    instructions: list[isa.Instruction],
    core: Core,
    deployment: Deployment,
    inputs: NDArray[Any],
    folder: Path,
    *,
    limit: int = INSTRUCTION_LIMIT,
    on_progress: Callable[[int, int], None] | None = None,
) -> Execution:
    """Run every input through the firmware.

    Args:
        image: the linked firmware.
        instructions: its instructions.
        core: what to emulate.
        deployment: entry point and shapes.
        inputs: ``(n, *input_shape)``, at least one row.
        folder: a temporary folder for job and results.
        limit: instructions that one inference may take.
        on_progress: called as ``on_progress(done, total)`` while it runs and once at the end.

    Raises:
        DeployError: the firmware faults or does not return; the message names sample, function and address.
        ToolError: the emulator cannot be started, hangs or crashes.
    """
    base, starts = isa.starts(image, instructions)
    timing = cycles.TIMINGS.get(core.display)
    costs = np.zeros_like(starts) if timing is None else cycles.table(image, instructions, timing)
    job = Job(
        cpu=core.emulated_cpu,
        risc_v=core.is_risc_v,
        flash_base=_FLASH_BASE,
        flash_bytes=_FLASH_BYTES,
        ram_base=_RAM_BASE,
        ram_bytes=_RAM_BYTES,
        boot=image.addresses["Reset_Handler"],
        main=image.addresses["main"],
        run=image.addresses[deployment.symbol],
        input=image.addresses["bitq_input"],
        input_bytes=deployment.input_length * inputs.itemsize,
        scores=image.addresses["bitq_scores"],
        scores_bytes=deployment.scores * 4,
        stack_top=image.addresses["bitq_stack_top"],
        samples=len(inputs),
        limit=limit,
        code_base=base,
        points=tuple(isa.stack_points(instructions)),
        refill=0 if timing is None else timing.refill,
        counter=_build_counter(folder),
    )
    job.write(folder)
    (folder / "flash.bin").write_bytes(_flash(image))
    (folder / "inputs.bin").write_bytes(deployment.samples(inputs).tobytes())
    (folder / "starts.bin").write_bytes(starts.tobytes())
    (folder / "costs.bin").write_bytes(costs.tobytes())
    record = job.record_bytes
    run_tool(
        [sys.executable, "-m", "bitq.device.unicorn_worker", str(folder)],
        timeout_s=STALL_S * (len(inputs) + 1),
        on_wait=_Watch(folder / "results.bin", record, len(inputs), on_progress),
    )
    report = _report(folder / "report.json")
    if "fault" in report:
        raise DeployError(
            f"{deployment.name} on the emulated {core.display}, sample {report['sample']}: {report['fault']}, "
            f"in {image.function_at(report['pc'])} at {report['pc']:#010x}."
        )
    results = np.fromfile(folder / "results.bin", "<i4")
    if results.size * 4 != record * len(inputs):
        raise ToolError(f"the emulator returned {results.size * 4} bytes, expected {record * len(inputs)}.")
    results = results.reshape(len(inputs), record // 4).astype(np.int32)
    if on_progress is not None:
        on_progress(len(inputs), len(inputs))
    return Execution(
        np.ascontiguousarray(results[:, :-1]),
        results[:, -1].copy(),
        int(report["instructions"]),
        int(report["most_instructions"]),
        None if timing is None else int(report["cycles"]),
        int(report["counted"]),
        int(report["stack_bytes"]),
    )


class _Watch:
    """Reports how many samples are done, and gives up when none has come for too long."""

    def __init__(
        self, results: Path, record: int, total: int, on_progress: Callable[[int, int], None] | None
    ) -> None:
        self._results, self._record, self._total = results, record, total
        self._on_progress = on_progress
        self._done, self._since = 0, time.monotonic()

    def __call__(self) -> None:
        done = self._results.stat().st_size // self._record if self._results.exists() else 0
        if done > self._done:
            self._done, self._since = done, time.monotonic()
            if self._on_progress is not None:
                self._on_progress(done, self._total)
        elif time.monotonic() - self._since > STALL_S:
            raise ToolError(f"the emulator finished no sample within {STALL_S:g} s and was stopped.")


def _report(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ToolError(f"the emulator ended without a report ({error}).") from error


def _flash(image: Elf) -> bytes:
    end = max(address + len(content) for address, content in image.loaded)
    flash = bytearray(end - _FLASH_BASE)
    for address, content in image.loaded:
        flash[address - _FLASH_BASE : address - _FLASH_BASE + len(content)] = content
    return bytes(flash)


def _build_counter(folder: Path) -> str:
    """Compile the native hooks; without them the worker counts in Python, on fewer samples."""
    library = folder / "count.so"
    try:
        host_compiler().build(["-O2", "-std=c99", "-fPIC", "-shared"], [_COUNT], library)
    except DeployError:
        return ""
    return str(library)
