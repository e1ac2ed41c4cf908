from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from bitq.core.errors import RangeError
from bitq.ir.graph import Graph
from bitq.ir.ops import Dense
from bitq.ir.ranges import prove
from bitq.ir.reference import evaluate, values
from bitq.ir.types import INT8, INT32, INT32_MAX, Rescale, TensorType, Weights
from tests.graphs import corner_inputs, graphs

FAN_IN = 1000
MOST = FAN_IN * 127 * 128  # all weights −127, all inputs −128: 16,256,000


def dense(bias, rescale=None):
    weights = Weights(np.full((1, FAN_IN), -127, np.int8), INT8, np.ones(1))
    op = Dense(
        name="fc", layer="head.fc", inputs=("input",), out=TensorType((1,), INT32, 1.0),
        weights=weights, bias=np.array([bias], np.int32), rescale=rescale,
    )  # fmt: skip
    return Graph("net", TensorType((FAN_IN,), INT8, 1.0), (op,), ("fc",))


def test_an_accumulator_that_just_fits_passes_and_is_exact():
    graph = dense(INT32_MAX - MOST)
    assert prove(graph)["fc"][0].magnitude == INT32_MAX
    assert evaluate(graph, np.full((1, FAN_IN), -128, np.int8)).scores[0, 0] == INT32_MAX


def test_one_more_is_refused_by_the_layers_name():
    with pytest.raises(
        RangeError, match=rf"head\.fc: its accumulator may reach ±{INT32_MAX + 1}, which takes 33 bits"
    ):
        prove(dense(INT32_MAX - MOST + 1))


@pytest.mark.parametrize(("multiplier", "fits"), [(INT32_MAX // MOST, True), (INT32_MAX // MOST + 1, False)])
def test_the_product_is_proved_at_its_limit(multiplier, fits):
    graph = dense(0, Rescale(np.array([multiplier], np.int16), 0, 0, 0, INT32.low, INT32.high))
    if fits:
        prove(graph)
    else:
        with pytest.raises(RangeError, match="accumulator times multiplier"):
            prove(graph)


def test_the_rounding_term_counts():
    room = INT32_MAX - MOST
    shift = room.bit_length()
    prove(dense(room - (1 << shift - 2), Rescale(np.ones(1, np.int16), 0, shift - 1, 0, INT32.low, INT32.high)))
    with pytest.raises(RangeError):
        prove(
            dense(room - (1 << shift - 2) + 1, Rescale(np.ones(1, np.int16), 0, shift - 1, 0, INT32.low, INT32.high))
        )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_no_accumulator_leaves_its_proved_interval(graph):
    proved = prove(graph)
    x = corner_inputs(graph, rows=4)
    bare = [op for op in graph.ops if op.matrices and op.out.dtype is INT32 and not op.rescale]
    got = values(graph, x)
    for op in bare:
        assert (got[op.name] >= proved[op.name][0].low).all()
        assert (got[op.name] <= proved[op.name][0].high).all()


def test_an_interval_is_reached_by_the_worst_input():
    graph = replace(dense(5))
    interval = prove(graph)["fc"][0]
    worst = evaluate(graph, np.array([[-128] * FAN_IN, [127] * FAN_IN], np.int8)).scores[:, 0]
    assert worst.tolist() == [MOST + 5, -127 * 127 * FAN_IN + 5]
    assert (interval.low[0], interval.high[0]) == (-127 * 127 * FAN_IN, MOST + 5)  # the bias may come last
