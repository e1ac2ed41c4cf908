"""Builds a deployed model for a target, runs it there, compares every score and measures what it costs.

The last step before a model counts as delivered: exact on every sample and within its budgets, or not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DeployError
from bitq.device import deployment, emulator, image, isa, qemu
from bitq.device.config import TargetConfig

NOT_EXECUTED = "NOT EXECUTED: unicorn is not installed, pip install 'bitq[emulator]'"
NO_MODEL = "NOT EXECUTED: built and its instructions checked, but no emulator that is installed runs this core"


@dataclass(frozen=True)
class Measurement:
    """What a model costs on a target, and whether it was exact there.

    Attributes:
        target: the core, as in ``cortex-m0plus``.
        compiler, flags: what the one measured binary was built with.
        executed: where it ran: ``unicorn``, else ``qemu`` where that is installed; empty where neither is.
        flash_bytes: .text + .rodata + .data minus the same image with an empty entry point.
        flash_image_bytes: .text + .rodata + .data of the linked image.
        ram_bytes: .data + .bss minus the same image with an empty entry point (so without the caller's input
            and scores), plus the peak stack; None where unicorn did not execute it.
        stack_bytes: peak stack of the entry point and all that it calls.
        instructions: executed per inference, the mean over the samples; of the first one in ``qemu``.
        cycles_estimate: what a manual says that these take, without wait states; None where it says nothing.
        samples_checked: samples executed and compared.
        mismatches: those where any score or the winner differed.
        over_budget: one line per exceeded budget: which, needed, allowed.
    """

    target: str
    compiler: str
    flags: str
    executed: str
    flash_bytes: int
    flash_image_bytes: int
    ram_bytes: int | None
    stack_bytes: int | None
    instructions: int | None
    cycles_estimate: int | None
    samples_checked: int
    mismatches: int
    over_budget: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it ran, was exact on every sample and kept its budgets."""
        return bool(self.executed) and self.samples_checked > 0 and not self.mismatches and not self.over_budget

    @property
    def verdict(self) -> str:
        """One line for the screen."""
        if not self.executed:
            return NO_MODEL if emulator.is_installed() else NOT_EXECUTED
        if self.over_budget and not self.mismatches:
            return f"OVER BUDGET: {'; '.join(self.over_budget)}"
        return verdict(self.mismatches, self.samples_checked)


def verdict(mismatches: int, samples: int) -> str:
    """Return one line on how a comparison came out."""
    return (
        f"NOT EXACT: {mismatches:,} of {samples:,} samples differ" if mismatches else f"exact on {samples:,} samples"
    )


def verify(
    folder: Path,
    target: TargetConfig,
    inputs: NDArray[Any],
    scores: NDArray[np.int32],
    winners: NDArray[np.int32],
    on_progress: Callable[[int, int], None] | None = None,
    libraries: Sequence[Path] = (),
) -> Measurement:
    """Build a deploy folder for a target, execute the first ``target.samples`` inputs there and compare.

    Args:
        folder: the deploy folder; only read.
        target: core, compiler, optimization and budgets.
        inputs: ``(n, *input.shape)``.
        scores: what the reference says, int32 ``(n, k)``.
        winners: what the reference says, int32 ``(n,)``.
        on_progress: called as ``on_progress(done, total)``.
        libraries: archives that code of others needs; a model of bitq needs none.

    Returns:
        The measurement; mismatches and exceeded budgets are in it, not raised.

    Raises:
        DeployError: the firmware cannot be linked, uses instructions that the core does not have, or faults.
        ToolError: a compiler or the emulator is missing, fails or hangs.
    """
    model = deployment.read(folder)
    count = min(target.samples or len(inputs), len(inputs))
    rows = model.samples(inputs[:count])
    if count == 0 or scores.shape != (len(inputs), model.scores) or winners.shape != (len(inputs),):
        raise DeployError(
            f"{model.name}: {len(inputs)} inputs, scores {scores.shape} and winners {winners.shape}; "
            f"expected at least one row, (n, {model.scores}) and (n,)."
        )
    with tempfile.TemporaryDirectory(prefix="bitq-device-") as temporary:
        built = image.link(model, target, Path(temporary), libraries)
        instructions = isa.disassemble(built.elf)
        isa.check(built.elf, instructions, target.core.instruction_set, target.core.display)
        ran = None
        if emulator.runs(target.core):
            ran = emulator.execute(
                built.elf, instructions, target.core, model, rows, Path(temporary), on_progress=on_progress
            )
        elif qemu.runs(target.core):
            ran = qemu.execute(model, target, rows, Path(temporary))
    wrong = 0
    if ran is not None:
        differs = (ran.scores != scores[:count]).any(axis=1) | (ran.winners != winners[:count])
        wrong = int(differs.sum())
    stack_bytes = ran.stack_bytes if isinstance(ran, emulator.Execution) else None
    needed = {
        "flash_bytes": built.flash_bytes,
        "ram_bytes": None if stack_bytes is None else built.static_ram_bytes + stack_bytes,
        "stack_bytes": stack_bytes,
        "instructions": None if ran is None else ran.instructions,
    }
    return Measurement(
        target=target.core.display,
        compiler=built.compiler,
        flags=built.flags,
        executed="" if ran is None else "unicorn" if isinstance(ran, emulator.Execution) else "qemu",
        flash_bytes=built.flash_bytes,
        flash_image_bytes=built.flash_image_bytes,
        ram_bytes=needed["ram_bytes"],
        stack_bytes=needed["stack_bytes"],
        instructions=needed["instructions"],
        cycles_estimate=ran.cycles if isinstance(ran, emulator.Execution) else None,
        samples_checked=0 if ran is None else count,
        mismatches=wrong,
        over_budget=_over_budget(needed, target, executed=ran is not None),
    )


def _over_budget(needed: dict[str, int | None], target: TargetConfig, *, executed: bool) -> tuple[str, ...]:
    allowed = {
        "flash_bytes": target.flash_bytes,
        "ram_bytes": target.ram_bytes,
        "stack_bytes": target.stack_bytes,
        "instructions": target.instructions,
    }
    return tuple(
        f"{name} {'not measured' if value is None else f'{value:,}'}, allowed {limit:,}"
        for name, value in needed.items()
        if (limit := allowed[name]) is not None and (executed if value is None else value > limit)
    )
