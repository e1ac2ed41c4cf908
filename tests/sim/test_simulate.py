"""The simulation against the reference: the same integers, before and after something was trained."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitq.codegen.ops.linear import shortest_bias
from bitq.ir import reference
from bitq.ir.graph import Graph
from bitq.ir.ops import OPS, Conv, Dense, Linear
from bitq.ir.types import BIPOLAR, INT8, INT32, ODD4, TensorType, Weights
from bitq.lowering.lower import lower
from bitq.sim.ops.linear import LinearOperation
from bitq.sim.ops.operation import Operation
from bitq.sim.ops.table import OPERATIONS
from bitq.sim.simulate import evaluate, simulate
from bitq.train.inference import to_float
from tests.codegen.nets import sequence_net
from tests.graphs import corner_inputs, graphs
from tests.networks import Case, build

SOME = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def assert_equal(graph, x):
    got, expected = evaluate(graph, x), reference.evaluate(graph, x)
    np.testing.assert_array_equal(got.scores, expected.scores)
    np.testing.assert_array_equal(got.winners, expected.winners)
    assert got.scores.dtype == got.winners.dtype == np.int32


@pytest.mark.parametrize("kind", OPS, ids=lambda kind: kind.__name__)
def test_every_operation_is_simulated(kind):
    assert not inspect.isabstract(OPERATIONS[kind])
    assert issubclass(OPERATIONS[kind], Operation)


@SOME
@given(graphs())
def test_every_value_equals_the_reference(graph):
    x = corner_inputs(graph)
    assert_equal(graph, x)
    expected = reference.values(graph, x)
    with torch.no_grad():
        got = simulate(graph).values(torch.from_numpy(x))
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name].numpy(), value, err_msg=name)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_score_equals_the_reference_on_many_graphs():
    @settings(SOME, max_examples=2000, database=None)
    @given(graphs())
    def check(graph):
        assert_equal(graph, corner_inputs(graph))

    check()


def test_a_batch_longer_than_a_block_keeps_its_order():
    graph = sequence_net()
    assert_equal(graph, np.random.default_rng(0).integers(-128, 128, (1100, 50, 3), dtype=np.int8))


@pytest.mark.parametrize("fan_in", [1000, 1032, 1033, 5000, 100_000])
def test_sums_are_exact_on_both_sides_of_what_float32_holds(fan_in):
    # All terms are alike and odd: past 2^24 = 1032 · 127 · 128 + … float32 would lose the last bit.
    weights = Weights(np.full((1, fan_in), 127, np.int8), INT8, np.ones(1))
    out = TensorType((1,), INT32, 1.0)
    op = Dense(name="fc", inputs=("input",), out=out, weights=weights, bias=np.array([1], np.int32))
    graph = Graph("net", TensorType((fan_in,), INT8, 1.0), (op,), ("fc",))
    assert_equal(graph, np.concatenate([np.full((1, fan_in), 127), np.full((1, fan_in), -127)]).astype(np.int8))


def test_a_convolution_that_torch_gets_wrong():
    weights = Weights(np.array([[[[-1], [1]]]], np.int8), BIPOLAR, np.ones(1))
    image = TensorType((2, 1, 1), INT8, 1.0)
    op = Conv(
        name="conv", inputs=("input",), out=replace(image, dtype=INT32), weights=weights,
        bias=np.zeros(1, np.int32), stride=(1, 2), padding=((0, 0), (0, 2)),
    )  # fmt: skip
    x = np.arange(-20, 20, dtype=np.int8).reshape(20, 2)
    assert_equal(Graph("net", image, (op,), ("conv",)), x)


@SOME
@given(graphs(), st.integers(0, 2**32 - 1))
def test_what_was_trained_is_in_the_graph_to_the_bit(graph, seed):
    rng = torch.Generator().manual_seed(seed)
    simulation = simulate(graph)
    with torch.no_grad():
        for name, parameter in simulation.named_parameters():
            size = 0.5 if name.endswith("log_gain") else 1000.0
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * size)
        x = corner_inputs(graph)
        scores = simulation(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(scores, reference.evaluate(simulation.graph(), x).scores)


def test_nothing_trained_gives_the_graph_itself():
    graph = sequence_net()
    for old, new in zip(graph.ops, simulate(graph).graph().ops, strict=True):
        if isinstance(old, Linear):
            np.testing.assert_array_equal(old.bias, new.bias)
            np.testing.assert_array_equal(old.weights.codes, new.weights.codes)
            assert old.rescale is None or np.array_equal(old.rescale.multiplier, new.rescale.multiplier)


def test_training_lowers_the_loss_that_the_chip_will_have():
    graph = sequence_net(ODD4)
    x = torch.from_numpy(np.random.default_rng(0).integers(-128, 128, (200, 50, 3)).astype(np.int8))
    y = (x[:, :25].float().mean((1, 2)) > x[:, 25:].float().mean((1, 2))).long()
    simulation = simulate(graph).requires_grad_(True)
    optimizer = torch.optim.Adam(simulation.parameters(), lr=0.01)

    def loss():
        return torch.nn.functional.cross_entropy(simulation.real(simulation(x)), y)

    first = loss().item()
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.9 * first
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in simulation.parameters())
    scores = reference.evaluate(simulation.graph(), x.numpy()).scores
    assert torch.nn.functional.cross_entropy(simulation.real(torch.from_numpy(scores)), y) == loss()


def test_a_changed_sign_is_seen_at_once_and_its_gradient_says_what_it_does():
    graph = sequence_net(BIPOLAR)
    x = torch.from_numpy(np.random.default_rng(0).integers(-128, 128, (8, 50, 3)).astype(np.int8))
    simulation = simulate(graph)
    head = simulation.operations[2]
    head.codes.requires_grad_()
    simulation(x)[:, 0].sum().backward()
    before = simulation(x)[:, 0].sum().detach()
    with torch.no_grad():
        change = float(-2 * head.codes[0, 3] * head.codes.grad[0, 3])
        head.codes[0, 3] *= -1
        after = simulation(x)[:, 0].sum()
    assert float(after - before) == change  # the head is linear
    np.testing.assert_array_equal(simulation(x).detach(), reference.evaluate(simulation.graph(), x.numpy()).scores)


def test_rounding_passes_the_gradient_and_a_clamp_between_its_ends():
    graph = sequence_net()
    simulation = simulate(graph)
    conv = simulation.operations[0]
    inside = torch.full((1, 1, 1, 8), 100.0, dtype=torch.float64, requires_grad=True)
    conv.rescaler(inside, 0, 0).sum().backward()
    torch.testing.assert_close(inside.grad.flatten(), conv.rescaler.multiplier * 2.0**-conv.rescaler.rescale.shift)
    low = torch.full((1, 1, 1, 8), -1e5, dtype=torch.float64, requires_grad=True)
    conv.rescaler(low, 0, 0).sum().backward()
    assert (low.grad == 0).all()


def test_biases_and_multipliers_stay_within_their_bytes():
    graph = sequence_net(BIPOLAR)
    simulation = simulate(graph)
    with torch.no_grad():
        simulation.operations[0].rescaler.log_gain.fill_(20.0)
        simulation.operations[0].shift.fill_(1e9)
    old, new = graph.ops[0], simulation.graph().ops[0]  # proved to fit
    assert (new.rescale.multiplier > old.rescale.multiplier).all()
    assert (new.bias - new.folded(graph.input) == 32767).all()


@pytest.mark.parametrize("shift", [0.3, -2.0, 1e9, -1e9])
def test_trained_biases_take_the_bytes_that_they_took(shift):
    torch.manual_seed(0)
    for case in (Case((6,), ("fc", "fc"), book="int8"), Case((3, 16), ("same", "same", "flat"), book="int8")):
        rounded, x, spec = build(case)
        graph = lower(rounded, to_float(x, spec), spec)
        simulation = simulate(graph)
        layers = [operation for operation in simulation.operations if isinstance(operation, LinearOperation)]
        with torch.no_grad():
            for layer in layers:
                layer.shift.uniform_(0, shift) if shift > 0 else layer.shift.uniform_(shift, 0)
        types = graph.types()
        for old, layer in zip((op for op in graph.ops if isinstance(op, Linear)), layers, strict=True):
            new, read = layer.trained(), types[old.inputs[0]]
            stored = [shortest_bias(op.bias - op.folded(read))[0].dtype for op in (old, new)]
            assert stored == [np.int16] * 2
            assert (new.bias != old.bias).any()
