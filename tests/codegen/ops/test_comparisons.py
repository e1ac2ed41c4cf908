"""Trees as comparisons: which trees, and what is left out of them."""

from dataclasses import replace

import numpy as np
import pytest

from bitq.codegen.emit import emit
from bitq.device.host import HostModel
from bitq.ir.graph import Graph
from bitq.ir.ops import Forest
from bitq.ir.reference import evaluate
from bitq.ir.types import INT8, INT16, INT32, TensorType
from pipelines.mcu.forest import n5
from pipelines.mcu.networks import inputs_of
from tests.pipelines.test_mcu import deployed
from tests.property.agreement import assert_agreement
from tests.property.builds import GCC, ZIG


def test_only_speed_makes_code_of_trees():
    graph = n5()
    files = {optimize: set(emit(graph, optimize).files) for optimize in ("size", "balanced", "speed")}
    assert "bitq_forest.h" in files["size"] & files["balanced"]
    assert "bitq_forest.h" not in files["speed"]


def test_splits_whose_sides_end_alike_are_left_out():
    graph = n5()
    op = graph.ops[0]
    same = replace(op, leaves=np.full_like(op.leaves, 2))
    text = emit(replace(graph, ops=(same, *graph.ops[1:])), "speed").files["model.c"]
    assert "if (" not in text
    assert text.count("return 2;") == len(op.leaves)


def stump(name, dtype, threshold):
    out = TensorType((1,), INT32, 1.0)
    features, leaves = np.zeros((1, 1), np.uint16), np.array([[[7], [-9]]], np.int16)
    thresholds = np.array([[threshold]], np.int16)
    trees = {"features": features, "thresholds": thresholds, "leaves": leaves, "votes": False}
    op = Forest(name=name, inputs=("input",), out=out, **trees)
    return Graph("net", TensorType((1,), dtype, 0.1), (op,), (name,))


@pytest.mark.parametrize("dtype", [INT8, INT16])
@pytest.mark.parametrize("side", ["low", "high"])
def test_a_split_at_the_end_of_the_range_compiles(dtype, side):
    assert_agreement(stump("trees", dtype, getattr(dtype, side)), GCC or ZIG[1:])


def test_trees_that_are_the_second_output_have_their_own_place():
    graph = stump("one", INT8, 3)
    other = replace(graph.ops[0], name="two")
    assert_agreement(replace(graph, ops=(*graph.ops, other), outputs=("one", "two")), GCC or ZIG[1:])


def test_a_feature_turned_into_a_byte_is_exact_around_every_threshold(tmp_path):
    graph = n5()
    op = graph.ops[0]
    text = emit(graph, "speed").files["model.c"]
    assert text.count(" = bitq_steps(") > 5
    assert "if (steps[" in text
    assert "if (x[" in text  # what is beyond the 255 steps, or seldom compared
    x = np.repeat(inputs_of(graph, 300)[-300:], 3, axis=0)
    for number, row in enumerate(x):
        for node in np.random.default_rng(number).integers(0, op.features.size, 20):
            row[op.features.ravel()[node]] = op.thresholds.ravel()[node] + number % 3 - 1
    got = HostModel(deployed(tmp_path, graph, "speed"), optimize="speed").predict(x)
    np.testing.assert_array_equal(got.scores, evaluate(graph, x).scores)


def test_votes_for_more_classes_than_a_word_has_lanes_for_are_counted_one_by_one():
    rng = np.random.default_rng(0)
    trees = {
        "features": rng.integers(0, 4, (40, 3)).astype(np.uint16),
        "thresholds": rng.integers(-90, 90, (40, 3)).astype(np.int16),
        "leaves": rng.integers(0, 9, (40, 4, 1)).astype(np.int16),
    }
    op = Forest(name="trees", inputs=("input",), out=TensorType((9,), INT32, 1.0), **trees)
    graph = Graph("net", TensorType((4,), INT8, 0.1), (op,), ("trees",))
    assert "++y[" in emit(graph, "speed").files["model.c"]
    assert_agreement(graph, GCC or ZIG[1:])
