import numpy as np
import pytest

from bitq.codegen.manifest import input_shape
from bitq.device.host import HostModel
from bitq.ir.reference import evaluate
from bitq.ir.types import BIPOLAR, INT8
from pipelines.mcu.networks import NETWORKS, inputs_of
from pipelines.mcu.plain import write_plain

PRODUCTS = {"N1": 50_816, "N2": 78_400, "N3": 22_032}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same_every_time(name):
    first, second = NETWORKS[name](BIPOLAR), NETWORKS[name](BIPOLAR)
    x = inputs_of(first, 5)
    np.testing.assert_array_equal(evaluate(first, x).scores, evaluate(second, x).scores)
    places = [int(np.prod(op.out.shape[:-1])) * m.codes.size for op in first.ops for m in op.matrices]
    assert sum(places) == PRODUCTS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_yardstick_computes_the_network(name, tmp_path):
    graph = NETWORKS[name](INT8, INT8)
    x = inputs_of(graph, 20).reshape(-1, *input_shape(graph.input.shape))
    write_plain(tmp_path, graph)
    got, expected = HostModel(tmp_path).predict(x), evaluate(graph, x)
    np.testing.assert_array_equal(got.scores, expected.scores)
    np.testing.assert_array_equal(got.winners, expected.winners)


def test_inputs_hold_the_extremes_and_every_one_hot():
    graph = NETWORKS["N3"](BIPOLAR)
    x = inputs_of(graph, 0)
    assert x.shape == (6 + 150, 150)
    assert {(row.min(), row.max()) for row in x[:2]} == {(-128, -128), (127, 127)}
    np.testing.assert_array_equal(x[6:].argmax(axis=1), np.arange(150))
