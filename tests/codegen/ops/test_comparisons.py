"""Trees as comparisons: which trees, and what is left out of them."""

from dataclasses import replace

import numpy as np
import pytest

from bitq.codegen.emit import emit
from bitq.ir.graph import Graph
from bitq.ir.ops import Forest
from bitq.ir.types import INT8, INT16, INT32, TensorType
from pipelines.mcu.forest import n5
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
    assert "if (x[" not in text
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
