"""What the emulator process is asked to do: the job that one side writes as JSON and the other reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """Firmware, entry points and buffers; addresses and sizes in bytes.

    Attributes:
        cpu: Unicorn's CPU model.
        risc_v: whether it is one of RISC-V; else it is one of Arm.
        flash_base, flash_bytes, ram_base, ram_bytes: the memories.
        boot, main: the reset handler, and where it has done its work.
        run: the model's entry point.
        input, input_bytes, scores, scores_bytes: the caller's buffers.
        stack_top: stack pointer at every call.
        samples: how many to run.
        limit: instructions after which a call counts as hung.
        code_base: address of the first halfword in ``starts.bin`` (see `bitq.device.isa.starts`).
        points: addresses where the stack pointer may be lower than before.
        refill: cycles that a taken branch adds to those in ``costs.bin`` (see `bitq.device.cycles.table`).
        counter: path of a shared library built from ``count.c``, or empty.
    """

    cpu: str
    risc_v: bool
    flash_base: int
    flash_bytes: int
    ram_base: int
    ram_bytes: int
    boot: int
    main: int
    run: int
    input: int
    input_bytes: int
    scores: int
    scores_bytes: int
    stack_top: int
    samples: int
    limit: int
    code_base: int
    points: tuple[int, ...]
    refill: int
    counter: str

    @property
    def record_bytes(self) -> int:
        """Bytes of one sample in ``results.bin``: its scores and its winner."""
        return self.scores_bytes + 4

    def write(self, folder: Path) -> None:
        """Write ``job.json``."""
        (folder / "job.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Read ``job.json``."""
        return cls(**json.loads((folder / "job.json").read_text()))
