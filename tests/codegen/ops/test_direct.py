from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitq.codegen.fuse import fuse
from bitq.codegen.ops import direct
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import NO_PADDING, Requantize
from bitq.ir.types import BIPOLAR, INT8, INT32, UINT7, UINT8, TensorType
from bitq.lowering.fixed import halved
from pipelines.mcu.networks import NETWORKS
from tests.graphs.layers import linear
from tests.graphs.parts import IDENTITY, with_rescale
from tests.property import agreement
from tests.property.builds import GCC, ZIG


@st.composite
def images(draw):
    """Return a network of a change to 7 bits and a convolution with a small window, of some kind of weights."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(2, 6)), draw(st.integers(1, 7)), draw(st.integers(1, 2)))
    x = TensorType(shape, INT8, 0.1, draw(st.sampled_from([0, -128, 17])))
    seven, rescale = halved(x)
    first = Requantize(name="halved", inputs=("input",), out=seven, rescale=rescale)
    conv = linear(draw, rng, "conv", "halved", seven, conv=True)
    if draw(st.booleans()):
        return check(Graph("net", x, (first, conv), ("conv",)))
    conv = with_rescale(conv, rng, seven, TensorType((), UINT8, 1.0, 3))
    scores = Requantize(name="scores", inputs=("conv",), out=TensorType(conv.out.shape, INT32, 1.0), rescale=IDENTITY)
    return check(Graph("net", x, (first, conv, scores), ("scores",)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(images().filter(lambda graph: direct.covers(replace(graph.ops[1], padding=NO_PADDING))))
def test_it_is_exact_with_the_border_that_the_change_of_scale_writes(graph):
    first, conv = fuse(graph, "speed").ops[:2]
    has_border = graph.ops[1].padding != NO_PADDING and direct.takes_border(graph.ops[0], graph.input)
    assert isinstance(first, direct.BorderedRequantize) == has_border
    assert conv.padding == (NO_PADDING if has_border else graph.ops[1].padding)
    agreement.assert_agreement(graph, [build for build in GCC or ZIG if build.optimize == "speed"])


def test_the_first_convolution_of_the_image_network_takes_it_with_7_bits_alone():
    for activations, found in ((UINT7, ["BorderedRequantize", "Conv"]), (UINT8, ["Conv", "Conv"])):
        graph = fuse(NETWORKS["N2"](BIPOLAR, activations), "speed")
        assert [type(op).__name__ for op in graph.ops[:2]] == found


def test_a_change_of_scale_that_is_read_twice_keeps_its_shape():
    graph = NETWORKS["N2"](BIPOLAR, UINT7)
    again = replace(graph.ops[1], name="again")
    ops = (*graph.ops[:2], again, *graph.ops[2:])
    assert not any(isinstance(op, direct.BorderedRequantize) for op in fuse(replace(graph, ops=ops), "speed").ops)
