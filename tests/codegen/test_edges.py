"""The borders of windows and clamps, where one step too far goes unnoticed on most random graphs."""

import numpy as np
import pytest

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo, input_shape
from bitq.device.host import HostModel
from bitq.ir.graph import Graph
from bitq.ir.ops import Conv, MaxPool, Requantize
from bitq.ir.reference import evaluate
from bitq.ir.types import BIPOLAR, INT8, INT32, Rescale, TensorType
from tests.graphs import corner_inputs, weights

IMAGE = TensorType((4, 5, 1), INT8, 1.0, 17)
PADDINGS = [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 1), (0, 0)), ((1, 0), (0, 0)), ((1, 2), (2, 1))]


def assert_exact(graph, x, folder):
    x = x.reshape(-1, *input_shape(graph.input.shape))
    write_deploy(folder, graph, DeployInfo(), vectors_of(graph, x, np.zeros(len(x)), at_least=0))
    got, expected = HostModel(folder, optimize="size").predict(x), evaluate(graph, x)
    np.testing.assert_array_equal(got.scores, expected.scores)


def out_shape(padding, channels):
    return (4 + sum(padding[0]) - 2, 5 + sum(padding[1]) - 2, channels)


@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_on_each_side(padding, tmp_path):
    rng = np.random.default_rng(0)
    conv = Conv(
        name="conv",
        inputs=("input",),
        out=TensorType(out_shape(padding, 2), INT32, 1.0),
        weights=weights(rng, (2, 3, 3, 1), BIPOLAR),
        bias=np.zeros(2, np.int32),
        padding=padding,
    )
    pool = MaxPool(
        name="pool",
        inputs=("input",),
        out=TensorType(out_shape(padding, 1), INT8, 1.0, 17),
        kernel=(3, 3),
        stride=(1, 1),
        padding=padding,
    )
    identity = Rescale(np.ones(1, np.int16), 0, 0, 0, INT32.low, INT32.high)
    scores = Requantize(name="scores", inputs=("pool",), out=TensorType(pool.out.shape, INT32, 1.0), rescale=identity)
    graph = Graph("net", IMAGE, (conv, pool, scores), ("conv", "scores"))
    assert_exact(graph, corner_inputs(graph), tmp_path / "d")


@pytest.mark.parametrize(
    "rescale",
    [
        Rescale(np.array([3], np.int16), 1, 2, 5, -20, 31),
        Rescale(np.array([1], np.int16), 0, 0, -7, -7, 127),
        Rescale(np.array([32767], np.int16), 0, 15, 0, -128, 100),
        Rescale(np.array([1], np.int16), 15, 30, 0, -1, 0),
    ],
    ids=["shifted", "identity", "largest multiplier", "largest shifts"],
)
def test_every_byte_through_a_rescale(rescale, tmp_path):
    x_type = TensorType((256,), INT8, 1.0, 3)
    out = TensorType((256,), INT32, 1.0, rescale.zero_point)
    op = Requantize(name="scores", inputs=("input",), out=out, rescale=rescale)
    assert_exact(Graph("net", x_type, (op,), ("scores",)), np.arange(-128, 128).astype(np.int8)[None], tmp_path / "d")
