import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.emit import emit
from bitq.codegen.manifest import DeployInfo, input_shape
from bitq.core.processes import find_tool, run_tool
from bitq.device.host import HostModel
from bitq.ir.graph import Graph
from bitq.ir.reference import evaluate
from tests.graphs import corner_inputs, graphs


def assert_c_equals_reference(graph: Graph, compiler: str, optimize: str) -> None:
    x = corner_inputs(graph).reshape(-1, *input_shape(graph.input.shape))
    expected = evaluate(graph, x)
    with tempfile.TemporaryDirectory() as folder:
        write_deploy(Path(folder), graph, DeployInfo(), vectors_of(graph, x, np.zeros(len(x)), at_least=0))
        got = HostModel(Path(folder), compiler=compiler, optimize=optimize).predict(x)
    np.testing.assert_array_equal(got.scores, expected.scores)
    np.testing.assert_array_equal(got.winners, expected.winners)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_c_equals_reference(graph: Graph) -> None:
    assert_c_equals_reference(graph, "auto", "size")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("compiler", "optimize"), [("auto", "speed"), ("auto", "balanced"), ("zig", "size")])
def test_c_equals_reference_on_many_graphs(compiler: str, optimize: str) -> None:
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(graphs())
    def check(graph: Graph) -> None:
        assert_c_equals_reference(graph, compiler, optimize)

    check()


_MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "model.h"
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


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.skipif(find_tool("gcc") is None, reason="the sanitizers come with gcc")
def test_sanitizers_find_nothing() -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(graphs(), st.sampled_from(["-O0", "-O2"]))
    def check(graph: Graph, optimize: str) -> None:
        x = corner_inputs(graph)
        expected = evaluate(graph, x)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, text in {**emit(graph).files, "main.c": _MAIN}.items():
                (folder / file).write_text(text)
            flags = ["-std=c99", optimize, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
            sources = sorted(map(str, folder.glob("*.c")))
            run_tool(["gcc", *flags, *sources, "-o", str(folder / "run")], timeout_s=120)
            output = run_tool([str(folder / "run")], timeout_s=60, stdin=x.tobytes())
        got = np.frombuffer(output, np.dtype(np.int32).newbyteorder(sys.byteorder)).reshape(len(x), -1)
        np.testing.assert_array_equal(got[:, :-1], expected.scores)
        np.testing.assert_array_equal(got[:, -1], expected.winners)

    check()
