import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.emit import parameter_bytes
from bitq.codegen.manifest import DeployInfo
from bitq.codegen.ops import quads
from bitq.device.config import TargetConfig
from bitq.device.emulator import is_installed
from bitq.device.verify import verify
from bitq.ir.reference import evaluate
from bitq.ir.types import INT8
from pipelines.mcu.networks import NETWORKS, inputs_of
from tests.graphs import weights


@given(st.integers(1, 11), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_blocks_hold_a_weight_where_the_kernel_looks_for_it(outputs, quarters, seed):
    layer = weights(np.random.default_rng(seed), (outputs, 4 * quarters), INT8)
    packed, whole = quads.blocks(layer).astype(np.int64) - 128, outputs - outputs % 4
    for output in range(outputs):
        for place in range(4 * quarters):
            group, block = 4 * (output // 4) * 4 * quarters, 16 * (place // 4)
            at = group + block + 4 * (output % 4) + place % 4 if output < whole else output * 4 * quarters + place
            assert packed[at] == layer.matrix[output, place]


@pytest.mark.skipif(not is_installed(), reason="the emulator is not installed")
@pytest.mark.parametrize(("core", "most"), [("cortex_m4", 99_000), ("cortex_m0plus", 278_000)])
def test_a_perceptron_of_8_bits_is_exact_fast_and_small(core, most, tmp_path):
    graph = NETWORKS["N1"](INT8)
    none = np.zeros((0, graph.input.size), graph.input.dtype.array)
    write_deploy(tmp_path / "d", graph, DeployInfo(), vectors_of(graph, none, np.zeros(0), at_least=1), "speed")
    x = inputs_of(graph, 10)
    x = np.concatenate([x[:6], x[-10:]])
    expected = evaluate(graph, x)
    target = TargetConfig(name=core, optimize="speed")
    measured = verify(tmp_path / "d", target, x, expected.scores, expected.winners)
    assert measured.passed, measured.verdict
    assert measured.instructions is not None
    assert measured.instructions <= most
    assert measured.flash_bytes - parameter_bytes(graph) < 1000
