"""Drivers of the C compilers: which one, called how, with the flags that every build of bitq uses.

zig comes with the Python package and builds for the host and for every target; the host's own compiler and
``arm-none-eabi-gcc`` or ``riscv64-unknown-elf-gcc`` are used where they are found and wanted.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from bitq.core.errors import DeployError, ToolError
from bitq.core.processes import find_tool, run_tool

COMPILE_TIMEOUT_S = 180.0
"""A first build by zig on a loaded machine takes seconds; one that takes minutes hangs."""

STRICT = [
    "-std=c99",
    "-pedantic-errors",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wundef",
    "-Wcast-align",
    "-Wcast-qual",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wvla",
    "-Wdouble-promotion",
    "-Wfloat-conversion",
    "-Werror",
]
"""Warnings are errors, in the generated code too."""

OPTIMIZE = {"size": ["-Os"], "balanced": ["-O2", "-fno-unroll-loops"], "speed": ["-O2", "-fno-unroll-loops"]}

SMALLEST = {"zig": ["-Os", "-Xclang", "-Oz"], "gcc": ["-Os"], "clang": ["-Oz"]}
"""What ``size`` means for firmware; zig takes -Oz for -Os unless clang itself is told."""

_UNDEFINED = re.compile(r"undefined (?:symbol: |reference to [`'])([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Compiler:
    """A C compiler that can be called.

    Attributes:
        kind: which flags it understands.
        name: name and version, as in ``zig 0.17.1``.
        command: what its arguments are appended to.
        environment: variables that it needs.
    """

    kind: Literal["zig", "gcc", "clang"]
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def build(self, flags: Sequence[str], sources: Sequence[Path], output: Path) -> None:
        """Compile and link sources into one file.

        Raises:
            DeployError: the linker found nobody who defines a function; the message names it.
            ToolError: the sources do not compile, the compiler hangs, crashes or leaves no output.
        """
        arguments = [*self.command, *flags, *map(str, sources), "-o", str(output)]
        try:
            run_tool(arguments, timeout_s=COMPILE_TIMEOUT_S, environment=self.environment, cwd=output.parent)
        except ToolError as error:
            missing = sorted(set(_UNDEFINED.findall(str(error))))
            if missing:
                raise DeployError(
                    f"{self.name}: the firmware needs {', '.join(missing)}, which nothing defines: it links no "
                    "runtime library, so no division on cores without one, no 64-bit helpers, no memcpy."
                ) from error
            raise ToolError(f"{self.name}: {error}") from error
        if not output.is_file() or output.stat().st_size == 0:
            raise ToolError(f"{self.name} reported success but wrote no {output.name}; is it really a C compiler?")


def host_compiler(choice: str = "auto") -> Compiler:
    """Return the compiler for this machine: ``cc``, ``gcc`` or ``clang`` where found, else zig.

    Args:
        choice: ``auto``, ``zig``, or the name of a program.

    Raises:
        ToolError: it is missing, or does not tell its version.
    """
    names = ("cc", "gcc", "clang") if choice == "auto" else (choice,)
    path = None if choice == "zig" else find_tool(*names)
    if path is not None:
        return _installed(path)
    if choice in ("auto", "zig"):
        return _zig()
    raise ToolError(f"the C compiler '{choice}' is not installed; use compiler=zig, which comes with bitq.")


def target_compiler(choice: str, gcc: str = "arm-none-eabi-gcc") -> Compiler:
    """Return the compiler for firmware: ``gcc`` is the program named by ``gcc``; ``zig`` and ``auto`` are zig.

    Raises:
        ToolError: it is missing, or does not tell its version.
    """
    if choice != "gcc":
        return _zig()
    path = find_tool(gcc)
    if path is None:
        raise ToolError(f"{gcc} is not installed; install it or use target.compiler=zig.")
    return _installed(path)


@functools.cache
def _installed(path: str) -> Compiler:
    text = run_tool([path, "--version"], timeout_s=30).decode(errors="replace")
    version = re.search(r"\b\d+\.\d+(?:\.\d+)?\b", re.sub(r"\([^)]*\)", "", text))
    if version is None:
        raise ToolError(f"{path} --version tells no version but {text[:80]!r}; is it a C compiler?")
    kind = "clang" if "clang" in text else "gcc"
    name = Path(path).name
    return Compiler(kind, f"{kind if name == 'cc' else name} {version[0]}", (path,))


@functools.cache
def _zig() -> Compiler:
    if find_spec("ziglang") is None:
        raise ToolError("the zig compiler is not installed; run: pip install ziglang")
    command = (sys.executable, "-m", "ziglang")
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(_cache_dir())}
    version = run_tool([*command, "version"], timeout_s=30, environment=environment).decode().strip()
    return Compiler("zig", f"zig {version}", (*command, "cc"), environment)


def _cache_dir() -> Path:
    """Return a folder for zig's cache: below the user's cache, else one that lives as long as this process.

    Without a folder of its own zig fails on a read-only home and spins for ever on some others.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = base / "bitq" / "zig"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        folder = Path(tempfile.mkdtemp(prefix="bitq-zig-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder
