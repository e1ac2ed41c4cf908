from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.emit import emit
from bitq.codegen.manifest import DeployInfo, input_shape
from bitq.codegen.ops import signs
from bitq.codegen.ops.layer import Operand
from bitq.device.config import TargetConfig
from bitq.device.emulator import is_installed
from bitq.device.host import HostModel
from bitq.device.verify import verify
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import Conv, Requantize
from bitq.ir.reference import evaluate
from bitq.ir.types import BIPOLAR, INT8, INT32, UINT7, TensorType
from bitq.lowering.fixed import halved
from pipelines.mcu.networks import NETWORKS, inputs_of
from tests.graphs import corner_inputs, weights
from tests.graphs.parts import IDENTITY, with_rescale


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_words_hold_a_sign_where_the_kernel_looks_for_it(outputs, quarters, seed):
    rng = np.random.default_rng(seed)
    layer, x = weights(rng, (outputs, 4 * quarters), BIPOLAR), rng.integers(0, 128, 4 * quarters)
    words = signs.words(layer)
    ordered, at = signs.by_four(words), 0
    for first in range(0, len(words), 2):
        rows = words[first : first + 2]
        for block in range(words.shape[1]):
            np.testing.assert_array_equal(ordered[at : at + len(rows)], rows[:, block])
            at += len(rows)
    assert len(ordered) == at + len(words) % 2
    words = words.view(np.uint32)
    sums = np.full(2 * len(words), -64 * x.size)
    for output in range(len(sums)):
        for place, value in enumerate(x):
            block, within = divmod(place, 16)
            word = int(words[output // 2, block])
            mask = word << within // 4 + 4 * (output % 2) >> 8 * (within % 4) & 0x80
            sums[output] += abs(int(value) - mask)
    np.testing.assert_array_equal(sums[:outputs], layer.matrix @ (x - 64))


@pytest.fixture(scope="module", params=["N1", "N2"])
def deployed(request, tmp_path_factory):
    graph = NETWORKS[request.param](BIPOLAR, UINT7)
    x = inputs_of(graph, 20)
    x = np.concatenate([x[:6], x[-20:]])
    folder = tmp_path_factory.mktemp(request.param) / "deploy"
    none = np.zeros((0, graph.input.size), graph.input.dtype.array)
    write_deploy(folder, graph, DeployInfo(), vectors_of(graph, none, np.zeros(0), at_least=1), "speed")
    files = set(emit(graph, "speed").files)
    assert {"bitq_sign_sums.c", "bitq_halve.c"} <= files
    assert ("bitq_conv_signs.c" in files) == (request.param == "N2")
    return folder, x.reshape(-1, *input_shape(graph.input.shape)), evaluate(graph, x)


def test_the_portable_form_is_exact(deployed):
    folder, x, expected = deployed
    np.testing.assert_array_equal(HostModel(folder).predict(x).scores, expected.scores)


@pytest.mark.skipif(not is_installed(), reason="the emulator is not installed")
@pytest.mark.parametrize("core", ["cortex_m4", "cortex_m0plus"])
def test_it_is_exact_on_cores_with_and_without_the_dsp_extension(core, deployed):
    folder, x, expected = deployed
    measured = verify(folder, TargetConfig(name=core, optimize="speed"), x, expected.scores, expected.winners)
    assert measured.passed, measured.verdict


def convolution(outputs, kernel, channels, size, stride, padding, *, wide):
    """Return a network of one convolution behind a change to 7 bits."""
    rng = np.random.default_rng(7)
    x = TensorType((*size, channels), INT8, 0.1, -5)
    seven, rescale = halved(x)
    first = Requantize(name="halved", inputs=("input",), out=seven, rescale=rescale)
    conv = Conv(
        name="conv",
        inputs=("halved",),
        out=TensorType((outputs,), INT32, 1.0),
        weights=weights(rng, (outputs, *kernel, channels), BIPOLAR),
        bias=rng.integers(-300, 300, outputs).astype(np.int32),
        stride=stride,
        padding=padding,
    )
    conv = replace(conv, out=replace(conv.out, shape=conv.infer_shape(seven)))
    if wide:
        return check(Graph("net", x, (first, conv), ("conv",)))
    conv = with_rescale(conv, rng, seven, TensorType((), UINT7, 1.0, 3))
    scores = Requantize(name="scores", inputs=("conv",), out=TensorType(conv.out.shape, INT32, 1.0), rescale=IDENTITY)
    return check(Graph("net", x, (first, conv, scores), ("scores",)))


# Odd and even numbers of outputs, places and words of a place; padding on every side, windows that are padding alone.
SHAPES = [
    (16, (3, 3), 8, (14, 14), (2, 2), ((0, 1), (0, 1))),
    (31, (3, 1), 8, (5, 6), (1, 1), ((2, 1), (0, 0))),
    (63, (1, 3), 4, (3, 5), (1, 2), ((0, 0), (3, 4))),
    (40, (2, 5), 4, (4, 5), (3, 1), ((1, 2), (2, 2))),
]


@pytest.mark.skipif(not is_installed(), reason="the emulator is not installed")
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_are_exact_with_the_dsp_extension(shape, wide, tmp_path):
    graph = convolution(*shape, wide=wide)
    x = corner_inputs(graph)
    none = np.zeros((0, graph.input.size), graph.input.dtype.array)
    write_deploy(tmp_path / "d", graph, DeployInfo(), vectors_of(graph, none, np.zeros(0), at_least=1), "speed")
    assert "bitq_conv_signs.c" in emit(graph, "speed").files
    expected, inputs = evaluate(graph, x), x.reshape(-1, *input_shape(graph.input.shape))
    for core in ("cortex_m4", "cortex_m0plus"):
        measured = verify(
            tmp_path / "d", TargetConfig(name=core, optimize="speed"), inputs, expected.scores, expected.winners
        )
        assert measured.mismatches == 0, measured.verdict


def test_a_place_never_overwrites_what_is_still_read():
    for shape in SHAPES:
        conv = convolution(*shape, wide=False).ops[1]
        operand = Operand(halved(TensorType((*shape[3], shape[2]), INT8, 0.1))[0], 0)
        (top, _), (left, _) = conv.padding
        height, width, channels = operand.type.shape
        read = []
        for line in range(conv.out.shape[0]):
            for place in range(conv.out.shape[1]):
                rows = [r for r in range(conv.kernel[0]) if 0 <= line * conv.stride[0] - top + r < height]
                taps = [c for c in range(conv.kernel[1]) if 0 <= place * conv.stride[1] - left + c < width]
                y, x = line * conv.stride[0] - top, place * conv.stride[1] - left
                read.append([((y + r) * width + x + c) * channels for r in rows for c in taps])
        overwritten = any(
            first < (done + 1) * len(conv.bias)
            for done in range(len(read))
            for later in read[done + 1 :]
            for first in later
        )
        assert not (signs.in_place(conv, [operand]) and overwritten)
    assert signs.in_place(
        convolution(*SHAPES[0], wide=False).ops[1], [Operand(TensorType((14, 14, 8), UINT7, 1.0), 0)]
    )


@pytest.mark.skipif(not is_installed(), reason="the emulator is not installed")
def test_four_products_take_less_than_three_instructions(tmp_path):
    graph = NETWORKS["N1"](BIPOLAR, UINT7)
    none = np.zeros((0, graph.input.size), graph.input.dtype.array)
    write_deploy(tmp_path / "d", graph, DeployInfo(), vectors_of(graph, none, np.zeros(0), at_least=1), "speed")
    x = inputs_of(graph, 1)[-1:]
    expected = evaluate(graph, x)
    target = TargetConfig(name="cortex_m4", optimize="speed")
    measured = verify(tmp_path / "d", target, x, expected.scores, expected.winners)
    assert measured.instructions is not None
    assert measured.instructions <= 50_816 * 3 / 4
