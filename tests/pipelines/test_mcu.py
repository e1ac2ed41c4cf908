import numpy as np
import pytest

from bitq.codegen.manifest import input_shape
from bitq.device.host import HostModel
from bitq.ir.reference import evaluate
from bitq.ir.types import BIPOLAR, INT8
from bitq.trees.rounding import lattice_of
from pipelines.mcu import emlearn
from pipelines.mcu.forest import fitted, rows
from pipelines.mcu.networks import NETWORKS, inputs_of
from pipelines.mcu.plain import write_plain

PRODUCTS = {"N1": 50_816, "N2": 78_400, "N3": 22_032, "N4": 52_832}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same_every_time(name):
    first, second = NETWORKS[name](BIPOLAR), NETWORKS[name](BIPOLAR)
    x = inputs_of(first, 5)
    np.testing.assert_array_equal(evaluate(first, x).scores, evaluate(second, x).scores)


@pytest.mark.parametrize("name", PRODUCTS)
def test_networks_have_their_number_of_products(name):
    graph = NETWORKS[name](BIPOLAR)
    steps = {"gru": 50}
    places = [steps.get(op.name) or int(np.prod(op.out.shape[:-1])) for op in graph.ops]
    sizes = [sum(m.codes.size for m in op.matrices) for op in graph.ops]
    assert int(np.dot(places, sizes)) == PRODUCTS[name]


def test_the_forest_decides_as_the_one_that_was_fitted():
    graph, (x, _) = NETWORKS["N5"](BIPOLAR), rows()
    trees = [tree.predict(lattice_of(graph.input).coarse(x.astype(np.int64))) for tree in fitted().estimators_]
    votes = np.stack([(np.array(trees) == c).sum(axis=0) for c in range(3)], axis=1)
    np.testing.assert_array_equal(evaluate(graph, x).scores, votes)


@pytest.mark.parametrize("name", PRODUCTS)
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


@pytest.mark.skipif(not emlearn.is_installed(), reason="emlearn is not installed")
def test_the_peer_decides_as_the_forest_does(tmp_path):
    graph = NETWORKS["N5"](BIPOLAR)
    x, _ = rows()
    emlearn.write_emlearn(tmp_path)
    got = HostModel(tmp_path).predict(emlearn.features_of(graph, x))
    assert (got.winners == evaluate(graph, x).winners).mean() > 0.99
