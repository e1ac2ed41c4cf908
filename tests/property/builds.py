"""The generated C of a graph, built in many ways: the runtime once per build, then one small file per graph."""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.codegen import emit
from bitq.core.processes import find_tool, run_tool
from bitq.device.compiler import STRICT, host_compiler
from bitq.ir.graph import Graph
from bitq.ir.reference import Outputs

RUNTIME = Path(emit.__file__).parent / "runtime"
_GUARD = 0x5AFEC0DE - 2**32 // 2  # behind the scores; must survive


@dataclass(frozen=True)
class Build:
    """A compiler, its flags, and what decides which C is printed."""

    compiler: str
    flags: tuple[str, ...]
    optimize: str

    def __str__(self) -> str:
        return f"{self.compiler} {' '.join(self.flags)} ({self.optimize})"

    @functools.cache  # noqa: B019  a handful, each for the whole session
    def runtime(self) -> tuple[Path, ...]:
        """Return the objects of the runtime."""
        folder = Path(tempfile.mkdtemp(prefix="bitq-runtime-"))
        for source in sorted(RUNTIME.glob("*.c")):
            self._compile([*STRICT, "-c"], [source], folder / f"{source.stem}.o")
        return tuple(sorted(folder.glob("*.o")))

    def link(self, graphs: Sequence[Graph], folder: Path, flags: Sequence[str], *more: Path) -> Path:
        """Compile graphs of different names in one go and link them with the runtime."""
        used, parts = set[str](), list[str]()
        for graph in graphs:
            files = emit.emit(graph, self.optimize).files
            used |= files.keys()
            (folder / f"{graph.name}.h").write_text(files["model.h"])
            parts.append(files["model.c"].replace('"model.h"', f'"{graph.name}.h"'))
        (folder / "models.c").write_text("\n".join(parts))
        output = folder / "linked"
        objects = [path for path in self.runtime() if f"{path.stem}.c" in used]
        self._compile([*STRICT, *flags], [folder / "models.c", *more, *objects], output)
        return output

    def run(self, graph: Graph, x: NDArray[np.int8]) -> Outputs:
        """Run a graph in this process."""
        return self.run_all([graph], [x])[0]

    def run_all(self, graphs: Sequence[Graph], inputs: Sequence[NDArray[np.int8]]) -> list[Outputs]:
        """Run graphs of different names in this process, each on inputs of its own."""
        with tempfile.TemporaryDirectory(prefix="bitq-build-") as name:
            library = ctypes.CDLL(str(self.link(graphs, Path(name), ["-shared"])))
        results = [_run(library[f"{graph.name}_run"], graph, x) for graph, x in zip(graphs, inputs, strict=True)]
        _ctypes.dlclose(library._handle)
        return results

    def _compile(self, flags: Sequence[str], sources: Sequence[Path], output: Path) -> None:
        host_compiler(self.compiler).build(["-fPIC", f"-I{RUNTIME}", *self.flags, *flags], sources, output)


def _run(run: Any, graph: Graph, x: NDArray[np.int8]) -> Outputs:
    rows = np.ascontiguousarray(x.reshape(len(x), -1))
    types = graph.types()
    length = sum(types[output].size for output in graph.outputs)
    scores = np.full((len(rows), length + 1), _GUARD, np.int32)
    run.argtypes, run.restype = (ctypes.c_void_p, ctypes.c_void_p), ctypes.c_int32
    winners = [run(row.ctypes.data, out.ctypes.data) for row, out in zip(rows, scores, strict=True)]
    assert (scores[:, -1] == _GUARD).all(), "it writes past the scores"
    return Outputs(scores[:, :-1], np.array(winners, np.int32))


# zig brings its own sanitizer at -O0, which a shared library cannot link.
LEVELS = ((("-O0", "-fno-sanitize=undefined"), "speed"), (("-O2",), "speed"), (("-Os",), "size"))
GCC = [Build("gcc", flags[:1], optimize) for flags, optimize in LEVELS] if find_tool("gcc") else []
ZIG = [Build("zig", flags, optimize) for flags, optimize in LEVELS]

_MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "net.h"
int main(void)
{
    enum { IN = NET_INPUT_LENGTH, OUT = NET_SCORES_LENGTH };
    int8_t *input = malloc(IN);
    int32_t *scores = malloc(OUT * sizeof(int32_t));
    while (fread(input, 1, IN, stdin) == IN) {
        const int32_t winner = net_run(input, scores);
        fwrite(scores, sizeof(int32_t), OUT, stdout);
        fwrite(&winner, sizeof winner, 1, stdout);
    }
    free(input);
    free(scores);
    return 0;
}
"""


def run_sanitized(build: Build, graph: Graph, x: NDArray[np.int8]) -> Outputs:
    """Run a graph in a program of its own, which ends with an error where a sanitizer finds something."""
    with tempfile.TemporaryDirectory(prefix="bitq-sanitized-") as name:
        main = Path(name) / "main.c"
        main.write_text(_MAIN)
        program = build.link([graph], Path(name), [], main)
        output = run_tool([str(program)], timeout_s=60, stdin=x.tobytes())
    values = np.frombuffer(output, np.int32).reshape(len(x), -1)
    return Outputs(values[:, :-1], values[:, -1])
