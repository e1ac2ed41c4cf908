import numpy as np
from hypothesis import HealthCheck, given, settings

from bitq.ir.reference import evaluate, values
from bitq.ir.types import Rescale
from tests.graphs import corner_inputs, graphs
from tests.ir import naive


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_reference_equals_plain_loops(graph):
    x = corner_inputs(graph, rows=2)
    got = values(graph, x)
    outputs = evaluate(graph, x)
    for number, row in enumerate(x):
        expected = naive.run(graph, row)
        for name, value in expected.items():
            np.testing.assert_array_equal(got[name][number].reshape(-1), value, err_msg=name)
        assert outputs.scores[number].tolist() == [v for name in graph.outputs for v in expected[name]]
        assert outputs.winners[number] == (expected[graph.winner][0] if graph.winner else 0)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_every_value_keeps_to_its_type(graph):
    got = values(graph, corner_inputs(graph, rows=4))
    for name, kind in graph.types().items():
        assert got[name].shape[1:] == kind.shape
        assert kind.dtype.allows(got[name])


def test_a_batch_longer_than_a_block_keeps_its_order():
    from tests.codegen.nets import sequence_net

    graph = sequence_net()
    x = np.random.default_rng(0).integers(-128, 128, (1100, 50, 3), dtype=np.int8)
    whole = evaluate(graph, x)
    np.testing.assert_array_equal(whole.scores[1000:], evaluate(graph, x[1000:]).scores)
    np.testing.assert_array_equal(whole.winners, whole.scores.argmax(axis=1))


def test_rounding_is_half_up_once_also_below_zero():
    rescale = Rescale(np.ones(1, np.int16), 0, 1, 0, -100, 100)
    assert rescale.apply(np.array([-3, -2, -1, 0, 1, 2, 3])).tolist() == [-1, -1, 0, 0, 1, 1, 2]
    floored = Rescale(np.ones(1, np.int16), 1, 0, 10, -100, 100)
    assert floored.apply(np.array([-3, -1, 1, 3])).tolist() == [8, 9, 10, 11]
