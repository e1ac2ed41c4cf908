"""A program of its own that runs firmware on Unicorn: ``python -m bitq.device.unicorn_worker FOLDER``.

The only file that imports unicorn, which is under the GPLv2; `bitq.device.emulator` starts it and speaks to it
through files in FOLDER alone. It reads ``job.json`` (see `bitq.device.job`), ``flash.bin``, ``inputs.bin`` and
``starts.bin``, appends scores and winner of each sample to ``results.bin`` and ends with ``report.json``.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from unicorn import arm_const, riscv_const, unicorn_const
from unicorn.unicorn_py3.unicorn import Uc, UcError

from bitq.core import files
from bitq.device.job import Job

PROBED = 8
"""Samples that are counted where only the slow counter in Python is at hand."""

_PAD = 0x1000_0000  # an empty page: returning there ends a call
_PAGE = 4096
_UNCOUNTED_LIMIT_US = 60_000_000
_FLUSH_S = 0.2


class Registers(NamedTuple):
    """Unicorn's numbers of the registers that a call needs."""

    pc: int
    stack_pointer: int
    link: int
    first: int  # argument, and the result
    second: int


_ARM = Registers(
    arm_const.UC_ARM_REG_PC,
    arm_const.UC_ARM_REG_SP,
    arm_const.UC_ARM_REG_LR,
    arm_const.UC_ARM_REG_R0,
    arm_const.UC_ARM_REG_R1,
)
_RISC_V = Registers(
    riscv_const.UC_RISCV_REG_PC,
    riscv_const.UC_RISCV_REG_SP,
    riscv_const.UC_RISCV_REG_RA,
    riscv_const.UC_RISCV_REG_A0,
    riscv_const.UC_RISCV_REG_A1,
)


def registers(job: Job) -> Registers:
    """Return the registers of the job's core."""
    return _RISC_V if job.risc_v else _ARM


class Sums(NamedTuple):
    """Instructions, and their cycles, that begin in the first i halfwords of the code."""

    starts: NDArray[np.uint32]
    costs: NDArray[np.uint32]


class Counter(Protocol):
    """Instructions executed, their cycles, and the lowest stack pointer seen since `reset`."""

    @property
    def executed(self) -> int:
        """Instructions since `reset`."""
        ...

    @property
    def cycles(self) -> int:
        """Estimated cycles since `reset`."""
        ...

    @property
    def lowest(self) -> int:
        """Lowest stack pointer since `reset`."""
        ...

    def reset(self) -> None:
        """Begin again for the next call."""
        ...


class PythonCounter:
    """Hooks written in Python: about 50 times slower than `NativeCounter`, but without a compiler."""

    def __init__(self, engine: Uc, job: Job, sums: Sums) -> None:
        starts, costs = sums.starts, sums.costs
        self._stack_top = job.stack_top
        self.reset()

        def on_block(uc: Uc, address: int, size: int, _: object) -> None:
            first = (address - job.code_base) // 2
            if first >= 0 and first + size // 2 < len(starts):
                last = first + size // 2
                self.executed += int(starts[last]) - int(starts[first])
                self.cycles += int(costs[last]) - int(costs[first]) + job.refill * (address != self._next)
                self._next = address + size
            if self.executed > job.limit:
                uc.emu_stop()

        def on_stack(uc: Uc, _address: int, _size: int, _: object) -> None:
            self.lowest = min(self.lowest, int(uc.reg_read(registers(job).stack_pointer)))

        engine.hook_add(unicorn_const.UC_HOOK_BLOCK, on_block)
        for point in job.points:
            engine.hook_add(unicorn_const.UC_HOOK_CODE, on_stack, begin=point, end=point)

    def reset(self) -> None:
        """Begin again for the next call."""
        self.executed = self.cycles = self._next = 0
        self.lowest = self._stack_top


class _State(ctypes.Structure):
    """The struct Counter of ``count.c``."""

    _fields_ = (
        ("executed", ctypes.c_uint64),
        ("limit", ctypes.c_uint64),
        ("base", ctypes.c_uint64),
        ("halfwords", ctypes.c_uint64),
        ("starts", ctypes.c_void_p),
        ("costs", ctypes.c_void_p),
        ("cycles", ctypes.c_uint64),
        ("refill", ctypes.c_uint64),
        ("next", ctypes.c_uint64),
        ("stop", ctypes.c_void_p),
        ("read_register", ctypes.c_void_p),
        ("stack_pointer", ctypes.c_int),
        ("lowest", ctypes.c_uint32),
    )


class NativeCounter:
    """The hooks of ``count.c``, handed to Unicorn as plain function pointers.

    Raises:
        AttributeError, ImportError, OSError: this version of unicorn hides what that needs.
    """

    def __init__(self, engine: Uc, job: Job, sums: Sums) -> None:
        from unicorn.unicorn_py3.unicorn import uclib

        handle: Any = engine._uch  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]  no public name
        library: Any = uclib
        hooks = ctypes.CDLL(job.counter)
        self._sums = sums  # keeps the arrays alive
        self._stack_top = job.stack_top
        self._state = _State(
            executed=0,
            limit=job.limit,
            base=job.code_base,
            halfwords=len(sums.starts) - 1,
            starts=sums.starts.ctypes.data,
            costs=sums.costs.ctypes.data,
            refill=job.refill,
            stop=ctypes.cast(library.uc_emu_stop, ctypes.c_void_p).value,
            read_register=ctypes.cast(library.uc_reg_read, ctypes.c_void_p).value,
            stack_pointer=registers(job).stack_pointer,
            lowest=job.stack_top,
        )

        def add(kind: int, function: Any, begin: int, end: int) -> None:
            status = library.uc_hook_add(
                handle,
                ctypes.byref(ctypes.c_size_t()),
                kind,
                ctypes.cast(function, ctypes.c_void_p),
                ctypes.cast(ctypes.byref(self._state), ctypes.c_void_p),
                begin,
                end,
            )
            if status != unicorn_const.UC_ERR_OK:
                raise OSError(f"uc_hook_add returned {status}")

        add(unicorn_const.UC_HOOK_BLOCK, hooks.bitq_block, 1, 0)
        for point in job.points:
            add(unicorn_const.UC_HOOK_CODE, hooks.bitq_stack, point, point)

    @property
    def executed(self) -> int:
        """Instructions since `reset`."""
        return self._state.executed

    @property
    def cycles(self) -> int:
        """Estimated cycles since `reset`."""
        return self._state.cycles

    @property
    def lowest(self) -> int:
        """Lowest stack pointer since `reset`."""
        return self._state.lowest

    def reset(self) -> None:
        """Begin again for the next call."""
        self._state.executed = self._state.cycles = self._state.next = 0
        self._state.lowest = self._stack_top


class FaultError(Exception):
    """The firmware did what a chip would not survive, or did not come back."""


class Machine:
    """One emulated core with the firmware in flash, booted up to ``main``."""

    def __init__(self, job: Job, flash: bytes, add_counter: Callable[[Uc], Counter | None]) -> None:
        self.job = job
        self._registers = registers(job)
        self._thumb = 0 if job.risc_v else 1
        self.engine = _engine(job)
        self.engine.mem_map(job.flash_base, job.flash_bytes, unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_EXEC)
        self.engine.mem_map(job.ram_base, job.ram_bytes, unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_WRITE)
        self.engine.mem_map(_PAD, _PAGE, unicorn_const.UC_PROT_READ | unicorn_const.UC_PROT_EXEC)
        self.engine.mem_write(job.flash_base, flash)
        self._touched = ""
        self.engine.hook_add(unicorn_const.UC_HOOK_MEM_INVALID, self._on_invalid)
        # Hooks that are added after code has run do not see blocks that were translated before.
        self.counter = add_counter(self.engine)
        self._go(job.boot, job.main)

    def call(self, sample: bytes) -> bytes:
        """Run the model on one sample and return its scores and its winner as they lie in memory."""
        job, engine = self.job, self.engine
        engine.mem_write(job.input, sample)
        engine.reg_write(self._registers.first, job.input)
        engine.reg_write(self._registers.second, job.scores)
        engine.reg_write(self._registers.link, _PAD | self._thumb)
        self._go(job.run, _PAD)
        winner = int(engine.reg_read(self._registers.first))
        return bytes(engine.mem_read(job.scores, job.scores_bytes)) + winner.to_bytes(4, "little")

    @property
    def at(self) -> int:
        """Address of the next instruction."""
        return int(self.engine.reg_read(self._registers.pc))

    def _go(self, begin: int, until: int) -> None:
        if self.counter is not None:
            self.counter.reset()
        self.engine.reg_write(self._registers.stack_pointer, self.job.stack_top)
        try:
            self.engine.emu_start(begin | self._thumb, until, timeout=0 if self.counter else _UNCOUNTED_LIMIT_US)
        except UcError as error:
            raise FaultError(f"{error}{self._touched}") from error
        if self.at & ~1 != until:
            raise FaultError(f"did not return within {self.job.limit:,} instructions")

    def _on_invalid(self, _uc: object, _kind: int, address: int, size: int, _value: int, _: object) -> bool:
        self._touched = f", {size} bytes at {address:#010x}"
        return False


def _engine(job: Job) -> Uc:
    if job.risc_v:
        engine = Uc(unicorn_const.UC_ARCH_RISCV, unicorn_const.UC_MODE_RISCV32)
        engine.ctl_set_cpu_model(getattr(riscv_const, f"UC_CPU_RISCV32_{job.cpu}"))
        return engine
    # Not UC_MODE_MCLASS: it silently replaces the chosen core by a Cortex-M33.
    engine = Uc(unicorn_const.UC_ARCH_ARM, unicorn_const.UC_MODE_THUMB)
    engine.ctl_set_cpu_model(getattr(arm_const, f"UC_CPU_ARM_{job.cpu}"))
    return engine


def execute(folder: Path, job: Job) -> dict[str, Any]:
    """Run all samples and return the report."""
    flash = (folder / "flash.bin").read_bytes()
    inputs = (folder / "inputs.bin").read_bytes()
    sums = Sums(*(np.fromfile(folder / name, np.uint32) for name in ("starts.bin", "costs.bin")))

    def add_counter(engine: Uc) -> Counter:
        if job.counter:
            try:
                return NativeCounter(engine, job, sums)
            except (AttributeError, ImportError, OSError) as error:
                print(f"counting in Python: {error}", file=sys.stderr)  # noqa: T201  this is a program
        return PythonCounter(engine, job, sums)

    machine = Machine(job, flash, add_counter)
    executed: list[int] = []
    cycles: list[int] = []
    stacks: list[int] = []
    flushed = 0.0
    with (folder / "results.bin").open("wb") as results:
        for index in range(job.samples):
            if index == PROBED and isinstance(machine.counter, PythonCounter):
                machine = Machine(job, flash, lambda _: None)
            try:
                results.write(machine.call(inputs[index * job.input_bytes : (index + 1) * job.input_bytes]))
            except FaultError as fault:
                return {"fault": str(fault), "pc": machine.at, "sample": index}
            if machine.counter is not None:
                executed.append(machine.counter.executed)
                cycles.append(machine.counter.cycles)
                stacks.append(job.stack_top - machine.counter.lowest)
            if time.monotonic() - flushed > _FLUSH_S:
                results.flush()
                flushed = time.monotonic()
    return {
        "instructions": round(sum(executed) / len(executed)),
        "most_instructions": max(executed),
        "cycles": round(sum(cycles) / len(cycles)),
        "counted": len(executed),
        "stack_bytes": max(stacks),
    }


def _end_with_parent() -> None:
    """End when the process that asked is gone, so that a killed run leaves nothing behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    where = Path(sys.argv[1])
    files.write_json(where / "report.json", execute(where, Job.read(where)))
