import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.emit import emit
from bitq.codegen.manifest import DeployInfo, input_shape
from bitq.codegen.ops import signs
from bitq.device.config import TargetConfig
from bitq.device.emulator import is_installed
from bitq.device.host import HostModel
from bitq.device.verify import verify
from bitq.ir.reference import evaluate
from bitq.ir.types import BIPOLAR, UINT7
from pipelines.mcu.networks import NETWORKS, inputs_of
from tests.graphs import weights


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_words_hold_a_sign_where_the_kernel_looks_for_it(outputs, quarters, seed):
    rng = np.random.default_rng(seed)
    layer, x = weights(rng, (outputs, 4 * quarters), BIPOLAR), rng.integers(0, 128, 4 * quarters)
    blocks = -(-quarters // 8)
    words = signs.words(layer).view(np.uint32).reshape(-1, blocks, 4)
    sums = np.full(4 * len(words), -64 * x.size)
    for output in range(len(sums)):
        for place, value in enumerate(x):
            block, within = divmod(place, 32)
            word = int(words[output // 4, block, output % 4])
            mask = word << within // 4 >> 8 * (within % 4) & 0x80
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
    assert {"bitq_sign_sums.c", "bitq_halve.c"} <= set(emit(graph, "speed").files)
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
