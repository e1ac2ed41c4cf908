"""Trees as comparisons: which trees, and what is left out of them."""

from dataclasses import replace

import numpy as np

from bitq.codegen.emit import emit
from pipelines.mcu.forest import n5


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
