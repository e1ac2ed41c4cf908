"""Trees in C against the reference: every kind of leaf, every kind of element, thresholds with and without names."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.emit import emit
from bitq.codegen.manifest import DeployInfo
from bitq.core.processes import find_tool, run_tool
from bitq.device.host import HostModel
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax
from bitq.ir.ranges import prove
from bitq.ir.reference import evaluate
from bitq.ir.types import INT8, INT16, INT32, TensorType
from tests.graphs.trees import forest
from tests.ir.naive import run


@st.composite
def forests(draw):
    """Draw a graph of trees alone."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([INT8, INT16]))
    x = TensorType((draw(st.sampled_from([1, 2, 20, 256, 700])),), dtype, 0.5)
    named = dtype is INT8 or x.size > 256 or draw(st.booleans())
    op = forest(draw, rng, "trees", "input", x, named=named)
    winner = ArgMax(name="winner", inputs=("trees",), out=TensorType((1,), INT32, 1.0))
    graph = Graph("net", x, (op, winner), ("trees",), "winner")
    prove(check(graph))
    return graph


def rows_around_thresholds(graph):
    """Return extremes, random rows, and rows that sit on a tree's thresholds and just above them."""
    op, dtype = graph.ops[0], graph.input.dtype
    rng = np.random.default_rng(1)
    rows = rng.integers(dtype.low, dtype.high + 1, (40, graph.input.size))
    rows[0], rows[1], rows[2] = dtype.low, dtype.high, 0
    for row in rows[10:]:
        tree = rng.integers(len(op.features))
        row[op.features[tree]] = op.thresholds[tree] + rng.integers(0, 2, op.features.shape[1])
    return np.clip(rows, dtype.low, dtype.high).astype(dtype.array)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(forests(), st.sampled_from(["size", "balanced", "speed"]))
def test_c_equals_reference(graph, optimize):
    x = rows_around_thresholds(graph)
    expected = evaluate(graph, x)
    with tempfile.TemporaryDirectory() as folder:
        write_deploy(Path(folder), graph, DeployInfo(), vectors_of(graph, x, np.zeros(len(x)), at_least=0))
        got = HostModel(Path(folder), optimize=optimize).predict(x)
    np.testing.assert_array_equal(got.scores, expected.scores)
    np.testing.assert_array_equal(got.winners, expected.winners)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(forests())
def test_the_reference_equals_plain_loops(graph):
    x = rows_around_thresholds(graph)
    expected = evaluate(graph, x)
    for row, scores, winner in zip(x, expected.scores, expected.winners, strict=True):
        values = run(graph, row)
        assert values["trees"] == scores.tolist()
        assert values["winner"] == [winner]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(forests())
def test_scores_stay_within_their_proved_bounds(graph):
    bounds = graph.ops[0].accumulators(graph.input)[0]
    scores = evaluate(graph, rows_around_thresholds(graph)).scores
    assert (scores >= bounds.low).all()
    assert (scores <= bounds.high).all()


_MAIN = """
#include <stdio.h>
#include "model.h"
int main(void)
{
    static ELEMENT input[NET_INPUT_LENGTH];
    static int32_t scores[NET_SCORES_LENGTH];
    while (fread(input, sizeof(ELEMENT), NET_INPUT_LENGTH, stdin) == NET_INPUT_LENGTH) {
        (void)net_run(input, scores);
        fwrite(scores, sizeof(int32_t), NET_SCORES_LENGTH, stdout);
    }
    return 0;
}
"""


@pytest.mark.skipif(find_tool("gcc") is None, reason="the sanitizers come with gcc")
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(forests())
def test_sanitizers_find_nothing(graph):
    x = rows_around_thresholds(graph)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in {**emit(graph).files, "main.c": _MAIN}.items():
            (folder / file).write_text(text)
        flags = ["-std=c99", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        sources = sorted(map(str, folder.glob("*.c")))
        element = f"-DELEMENT={graph.input.dtype.array}_t"
        run_tool(["gcc", *flags, element, *sources, "-o", str(folder / "run")], timeout_s=120)
        output = run_tool([str(folder / "run")], timeout_s=60, stdin=x.tobytes())
    got = np.frombuffer(output, np.dtype(np.int32).newbyteorder(sys.byteorder)).reshape(len(x), -1)
    np.testing.assert_array_equal(got, evaluate(graph, x).scores)


def test_thresholds_without_names_need_a_place_for_the_features():
    rng = np.random.default_rng(0)
    x = TensorType((20,), INT16, 1.0)
    from bitq.ir.ops import Forest

    features = rng.integers(0, 20, (2, 7))
    op = Forest(
        name="trees",
        inputs=("input",),
        out=TensorType((2,), INT32, 1.0),
        features=features.astype(np.uint16),
        thresholds=(features + 32).astype(np.int16),
        leaves=np.zeros((2, 8, 1), np.int16),
    )
    named = Graph("net", x, (op,), ("trees",))
    moved = replace(named, ops=(replace(op, thresholds=op.thresholds + np.int16(1)),))
    assert "features" not in emit(named).files["model.c"].split("net_run")[0]
    assert "net_trees_features[15]" in emit(moved).files["model.c"]
