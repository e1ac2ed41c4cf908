import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo, input_shape
from bitq.codegen.ops import lookups
from bitq.device.host import HostModel
from bitq.ir.reference import evaluate
from bitq.ir.types import BIPOLAR, ODD2, TERNARY
from pipelines.mcu.networks import NETWORKS, inputs_of
from tests.graphs import weights


def eight_sums(a, b, c, d):
    """Return what `bitq_eight_sums` makes of four numbers."""
    return [a + i * b + j * c + k * d for i in (1, -1) for j in (1, -1) for k in (1, -1)]


@given(
    st.sampled_from([BIPOLAR, ODD2]),
    st.integers(1, 5),
    st.lists(st.integers(4, 23), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_printed_sums_are_the_products(dtype, outputs, lengths, seed):
    rng = np.random.default_rng(seed)
    layer = weights(rng, (outputs, sum(lengths)), dtype)
    x = rng.integers(-99, 99, sum(lengths))
    parts = np.split(x, np.cumsum(lengths)[:-1])
    runs = [lookups.Run(f"x{k}", length) for k, length in enumerate(lengths)]
    known = {"bitq_plus": lambda s, term: s + term, "bitq_minus": lambda s, term: s - term, "totals": {}}
    known |= {f"x{k}": part.tolist() for k, part in enumerate(parts)}
    for line in lookups.lines(layer, runs, "totals", "make"):
        if made := re.fullmatch(r"make\(x(\d)(?: \+ (\d+))?, (\d+), made(\d)\);", line):
            part, start, sets, name = (int(number or 0) for number in made.groups())
            groups = parts[part][start : start + 4 * sets].reshape(-1, 4).tolist()
            known[f"t{name}"] = [s for group in groups for s in eight_sums(*group)]
        elif line.startswith(("s = ", "totals[")):
            exec(re.sub(r"\(uint32_t\)|(?<=0)u|;", "", line), known)
    planes = len(known["totals"]) // outputs
    sums = np.array(list(known["totals"].values())).reshape(outputs, planes)
    np.testing.assert_array_equal(sums @ (1 << np.arange(planes)), layer.matrix @ x)


def test_it_does_not_pay_for_zeros_nor_for_few_outputs():
    rng = np.random.default_rng(0)
    assert lookups.pays(weights(rng, (16, 40), BIPOLAR), [40], made=0)
    assert not lookups.pays(weights(rng, (16, 40), TERNARY), [40], made=0)
    assert not lookups.pays(weights(rng, (2, 40), BIPOLAR), [40], made=1)
    assert not lookups.pays(weights(rng, (16, 3), BIPOLAR), [3], made=0)


@pytest.mark.parametrize(("name", "dtype"), [("N2", BIPOLAR), ("N3", BIPOLAR), ("N3", ODD2)])
def test_convolutions_that_look_sums_up_are_exact(name, dtype, tmp_path):
    graph = NETWORKS[name](dtype)
    x = inputs_of(graph, 50)[:400]
    none = np.zeros((0, graph.input.size), graph.input.dtype.array)
    write_deploy(tmp_path / "d", graph, DeployInfo(), vectors_of(graph, none, np.zeros(0), at_least=1), "speed")
    assert "bitq_plus(s, t" in (tmp_path / "d" / "model.c").read_text()
    np.testing.assert_array_equal(
        HostModel(tmp_path / "d").predict(x.reshape(-1, *input_shape(graph.input.shape))).scores,
        evaluate(graph, x).scores,
    )
