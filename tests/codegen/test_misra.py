"""The generated C under cppcheck with its MISRA C:2012 add-on: nothing but the deviations of docs/misra.md."""

import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitq.codegen.emit import emit
from bitq.core.processes import run_tool
from bitq.ir.graph import Graph
from bitq.ir.ops import Dense
from bitq.ir.types import BIPOLAR, INT8, INT32, ODD2, UINT7, UINT8, DType, Rescale, TensorType
from pipelines.mcu.forest import n5
from pipelines.mcu.networks import NETWORKS
from tests.codegen.nets import sequence_net
from tests.graphs import graphs, weights
from tests.graphs.layers import linear
from tests.graphs.recurrent import recurrent
from tests.property.builds import RUNTIME

DOCUMENT = Path(__file__).parents[2] / "docs" / "misra.md"
DRAWN = settings(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
# What a compiler defines; whatever cppcheck is not told, it takes for undefined.
SIZE = ("-D__OPTIMIZE_SIZE__=1", "-D__ARM_ARCH_6M__=1")
SPEED = ("-D__GNUC__=12", "-D__ARM_FEATURE_DSP=1")
RISC_V = ("-D__riscv=1", "-D__OPTIMIZE_SIZE__=1")

Findings = set[tuple[str, str]]
"""Rules, and the files in which they are not kept; the C of a model is ``model.c`` whatever it is called."""


@st.composite
def cells(draw: st.DrawFn) -> Graph:
    x = TensorType((1, 5, 3), INT8, 0.1)
    rng = np.random.default_rng(0)
    (cell,) = recurrent(draw, rng, "cell", "input", x)
    head = linear(draw, rng, "head", "cell", cell.out, conv=False)
    return Graph("net", x, (cell, head), ("head",))


def drawn(strategy: st.SearchStrategy[Graph], count: int) -> list[Graph]:
    found: list[Graph] = []

    @settings(DRAWN, max_examples=count)
    @given(strategy)
    def draw(graph: Graph) -> None:
        found.append(graph)

    draw()
    return found


def perceptron(dtype: DType, hidden: int, outputs: int = 26) -> Graph:
    """Two dense layers that are large enough for buckets; the first reads the caller's signed bytes."""
    rng = np.random.default_rng(0)
    x, between, scores = (TensorType((n,), t, 1.0) for n, t in ((143, INT8), (hidden, UINT8), (outputs, INT32)))
    scale = Rescale(np.array([99], np.int16), 0, 10, 0, 0, 255)
    first, second = weights(rng, (hidden, 143), dtype), weights(rng, (outputs, hidden), dtype)
    zeros = np.zeros(hidden, np.int32)
    ops = (
        Dense(name="fc1", inputs=("input",), out=between, weights=first, bias=zeros, rescale=scale),
        Dense(name="fc2", inputs=("fc1",), out=scores, weights=second, bias=np.zeros(outputs, np.int32)),
    )
    return Graph("net", x, ops, ("fc2",))


def projects(graphs: Iterable[Graph]) -> dict[str, dict[str, str]]:
    """Emit graphs for size and for speed, under names of their own, and one with functions for a stream."""
    named = [(f"{mode}{k}", mode, graph) for k, graph in enumerate(graphs) for mode in ("size", "speed")]
    emitted = {name: emit(replace(graph, name=name), mode).files for name, mode, graph in named}
    return emitted | {"stream": emit(replace(NETWORKS["N4"](BIPOLAR), name="stream"), "size", hop=5).files}


def covering(emitted: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return a few of the projects that have all files of the runtime among them."""
    left, chosen = {path.name for path in RUNTIME.iterdir()}, dict[str, dict[str, str]]()
    while left:
        best = max(emitted, key=lambda name: (len(emitted[name].keys() & left), -len(emitted[name]["model.c"])))
        assert emitted[best].keys() & left, f"no project has {sorted(left)}; draw more"
        left -= emitted[best].keys()
        chosen[best] = emitted[best]
    return chosen


def findings(emitted: dict[str, dict[str, str]], folder: Path, defined: Iterable[str]) -> Findings:
    """Let cppcheck look at projects that share one runtime and one file of models."""
    lines = list[str]()
    for name, texts in emitted.items():
        for file, text in texts.items():
            if file == "model.c":
                lines += text.replace('"model.h"', f'"{name}.h"').splitlines()
            else:
                (folder / (f"{name}.h" if file == "model.h" else file)).write_text(text)
    lines.sort(key=lambda line: not line.startswith("#include"))
    (folder / "model.c").write_text("\n".join(lines))
    output = run_tool(
        [
            sys.executable,
            *("-m", "cppcheck", "--std=c99", "--platform=arm32-wchar_t4", "--addon=misra", "--enable=style"),
            *("--quiet", "--template={file}:{line}: {id}", "--output-file=found.txt", *defined, "."),
        ],
        timeout_s=1800,
        cwd=folder,
    )
    assert not output, output.decode()
    found = re.findall(r"^(.+):\d+: (?:misra-c2012-)?(\S+)$", (folder / "found.txt").read_text(), re.MULTILINE)
    return {(rule, "model.h" if file.removesuffix(".h") in emitted else file) for file, rule in found}


def deviations() -> dict[str, set[str]]:
    """Read the table: rules, and the files in which each may be broken; empty where that may be any."""
    rows = re.findall(r"^\| (\d+\.\d+) \| \w+ \| (.+?) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return {rule: set(re.findall(r"`(\S+)`", where)) for rule, where in rows}


def undocumented(found: Findings) -> list[tuple[str, str]]:
    allowed = deviations()
    return sorted(
        (rule, file) for rule, file in found if rule not in allowed or (allowed[rule] and file not in allowed[rule])
    )


def some() -> list[Graph]:
    dense = [perceptron(book, hidden) for book in (BIPOLAR, ODD2) for hidden in (8, 41)]
    more = [perceptron(BIPOLAR, 143, 8), NETWORKS["N2"](BIPOLAR, UINT7)]
    return [*drawn(graphs(), 400), *drawn(cells(), 50), *dense, *more]


def test_every_finding_is_a_documented_deviation_and_none_of_these_is_stale(tmp_path):
    all_files, one_project = tmp_path / "all", tmp_path / "one"
    all_files.mkdir()
    one_project.mkdir()
    found = findings(covering(projects(some())), all_files, SPEED)
    found |= findings({"gesture": emit(sequence_net()).files}, one_project, RISC_V)
    for number, defined in enumerate((SIZE, SPEED)):  # code for one core is printed beside that for others
        folder = tmp_path / str(number)
        folder.mkdir()
        found |= findings({"n4": emit(NETWORKS["N4"](BIPOLAR), "speed").files}, folder, defined)
    assert not undocumented(found)
    stated = {(rule, file) for rule, files in deviations().items() for file in files or {""}}
    assert not stated - found - {(rule, "") for rule, _ in found}


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("defined", [SIZE, SPEED, RISC_V])
def test_whatever_is_defined_and_drawn_every_finding_is_documented(tmp_path, defined):
    for number, emitted in enumerate([covering(projects(some())), projects([*drawn(graphs(), 60)])]):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert not undocumented(findings(emitted, folder, defined))
    for name in NETWORKS:
        graph = n5() if name == "N5" else NETWORKS[name](BIPOLAR)
        for mode in ("size", "speed"):
            folder = tmp_path / f"{name}{mode}"
            folder.mkdir()
            assert not undocumented(findings({graph.name: emit(graph, mode).files}, folder, defined))
