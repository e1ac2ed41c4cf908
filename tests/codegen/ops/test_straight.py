import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo
from bitq.codegen.ops.groups import groups_of
from bitq.device.host import HostModel
from bitq.ir.reference import evaluate
from bitq.ir.types import BIPOLAR, ODD2, ODD3, ODD4, TERNARY
from tests.codegen.nets import sequence_net
from tests.graphs import corner_inputs, weights

BOOKS = [BIPOLAR, TERNARY, ODD2, ODD3, ODD4]


@given(st.sampled_from(BOOKS), st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_buckets_of_all_groups_give_the_products(dtype, outputs, inputs, seed):
    rng = np.random.default_rng(seed)
    layer, x = weights(rng, (outputs, inputs), dtype), rng.integers(-99, 99, inputs)
    got = np.zeros(outputs, np.int64)
    for group in groups_of(layer):
        sums = np.zeros(len(group.signs), np.int64)
        for pattern, plus, minus in group.buckets:
            sums += pattern * (x[plus].sum() - x[minus].sum())
        values = sums.reshape(-1, group.planes) @ (1 << np.arange(group.planes))
        got[group.first : group.first + len(values)] = values
    np.testing.assert_array_equal(got, layer.matrix @ x)


def test_four_outputs_cost_little_more_than_one():
    one, four = (weights(np.random.default_rng(3), (outputs, 72), BIPOLAR) for outputs in (1, 4))
    cost = [sum(group.operations for group in groups_of(layer)) for layer in (one, four)]
    assert cost[1] < 1.2 * cost[0]


def test_no_input_is_read_for_weights_that_are_zero():
    layer = weights(np.random.default_rng(0), (3, 8), TERNARY)
    layer.codes[:, :5] = 0
    assert sum(len(p) + len(m) for g in groups_of(layer) for _, p, m in g.buckets) <= 3 * 3


@pytest.mark.parametrize("dtype", BOOKS)
def test_groups_hold_whole_outputs(dtype):
    for group in groups_of(weights(np.random.default_rng(1), (7, 12), dtype)):
        assert len(group.signs) % group.planes == 0


def test_weights_that_are_all_zero_compile_and_leave_the_bias(tmp_path):
    graph = sequence_net(TERNARY)
    graph.ops[0].weights.codes[:] = 0
    graph.ops[2].weights.codes[:] = 0
    x = corner_inputs(graph, rows=2).reshape(-1, 50, 3)
    write_deploy(tmp_path / "d", graph, DeployInfo(), vectors_of(graph, x, np.zeros(len(x)), at_least=0), "speed")
    np.testing.assert_array_equal(HostModel(tmp_path / "d").predict(x).scores, evaluate(graph, x).scores)
