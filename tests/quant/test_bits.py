"""Learned bits: their slope is that of autograd, they keep their budget, and each matrix ends with one codebook."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import bitq
from bitq.codegen.emit import emit
from bitq.config import named_method
from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.data.dataset import InputSpec
from bitq.ir.reference import evaluate
from bitq.quant.bits import BitBudget, LearnedBits, allowed, packed_bytes
from bitq.quant.codebook import CODEBOOKS, FOR_BITS
from bitq.quant.forwards import Moment
from bitq.quant.quantizer import Quantizer
from bitq.train.config import TrainConfig
from bitq.train.fit import fit
from bitq.train.stacked import pays
from tests.data_sets import blobs

METHOD = named_method("learned_bits")
INT8 = CODEBOOKS["int8"]
NOW = Moment(0.1, 0.75)


def learned(*shape, book=INT8):
    return LearnedBits(allowed(book, [1, 2, 4, 8]), shape, lambda w, b: b.scale(w, per_channel=False))


def network():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(6, 24), torch.nn.BatchNorm1d(24), torch.nn.ReLU(), torch.nn.Linear(24, 24)]
    return torch.nn.Sequential(*layers, torch.nn.BatchNorm1d(24), torch.nn.ReLU(), torch.nn.Linear(24, 3))


def trained(policy, **changes):
    method = replace(METHOD, **changes)
    return fit(network(), blobs(), TrainConfig(epochs=20, batch=32, lr=0.01), 0, policy=policy, method=method)


@pytest.mark.parametrize("place", [0.0, 0.3, 1.75, 2.5, 3.0])
def test_its_slope_is_that_of_the_weights_that_the_network_sees_under_autograd(place):
    torch.manual_seed(0)
    w, gradient, one = torch.randn(6, 5), torch.randn(6, 5), learned(6, 5)
    one.place = place
    seen = one.value(w, torch.ones(1, 1), INT8, NOW)
    one.learn(gradient)

    position = torch.tensor(place, requires_grad=True)
    rounded = [b.project(w, b.scale(w, per_channel=False)) for b in one.books]
    share = position - one.lower
    expected = (1 - share) * rounded[one.lower] + share * rounded[one.lower + 1]
    (expected * gradient).sum().backward()
    assert torch.allclose(seen, expected, atol=1e-6)
    assert one.slope == pytest.approx(position.grad.item(), rel=1e-4)


def test_bits_and_bytes_lie_between_those_of_the_neighbours():
    one = learned(4, 10)
    assert (one.bits, one.bytes) == (8, 40)
    one.place = 1.25
    assert (one.bits, one.bytes) == (2.5, 4 * (4 + 0.25 * 4))


@pytest.mark.parametrize("bits", FOR_BITS)
def test_packed_bytes_are_those_of_the_c(bits):
    model = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 5), torch.nn.Flatten(), torch.nn.Linear(32, 5))
    quantized = Quantizer(model, {"*": FOR_BITS[bits]}, named_method("ptq")).finish()
    graph = bitq.lower(quantized, torch.randn(20, 3, 12), InputSpec((3, 12), 1 / 32, 0))
    constants = [constant for layer in emit(graph).layers for constant in layer.constants]
    found = sum(constant.flash_bytes for constant in constants if constant.name.endswith("_weights"))
    assert found == sum(packed_bytes(shape, CODEBOOKS[FOR_BITS[bits]]) for shape in ((4, 3, 5), (5, 32)))


def test_what_the_loss_needs_stays_wide_and_what_it_does_not_pays():
    needed, idle = learned(8, 8), learned(8, 8)
    budget = BitBudget({"needed": needed, "idle": idle}, 0.6 * 128, steps=100)
    for _ in range(100):
        needed.slope, idle.slope = -1.0, -1e-6
        budget.step()
    decided = budget.decide()
    assert decided["needed"] is INT8
    assert decided["idle"].bits <= 1
    assert budget.price > 1e-3


@pytest.mark.parametrize("places", [(3.0, 3.0, 3.0), (0.2, 2.9, 1.5), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize("share", [0.05, 0.13, 0.3, 0.6, 1.0])
def test_what_is_decided_keeps_the_budget_wherever_that_can_be(places, share):
    ones = {str(i): learned(8 * (i + 1), 16) for i in range(3)}
    for one, place in zip(ones.values(), places, strict=True):
        one.place = place
    limit = share * sum(one.sizes[-1] for one in ones.values())
    decided = BitBudget(ones, limit, steps=10).decide()
    found = sum(packed_bytes((8 * (i + 1), 16), decided[str(i)]) for i in range(3))
    assert found <= max(limit, sum(one.sizes[0] for one in ones.values()))


def test_a_training_ends_with_one_codebook_per_matrix_within_the_budget_and_exact_integers(tmp_path):
    fitted = trained({"*": "int8"})
    weights = fitted.quantized.weights
    total = {name: packed_bytes(w.codes.shape, w.book) for name, w in weights.items()}
    assert sum(total.values()) <= 0.2 * sum(w.codes.size for w in weights.values())
    assert len({w.book.bits for w in weights.values()}) > 1
    assert all(w.book.dtype.allows(w.codes) for w in weights.values())
    assert fitted.history[-1]["weights/within_1pct"] == 1
    widths = [log["weights/3.weight/bits"] for log in fitted.history]
    assert widths[0] < 8
    assert set(widths[7:]) == {weights["3.weight"].book.bits}
    assert fitted.history[-1]["val/accuracy"] > 0.9

    data = blobs()
    x = torch.from_numpy(data.train.x).float() * data.input.scale
    graph = bitq.lower(fitted.quantized, x, data.input)
    bitq.export(graph, tmp_path / "deploy")
    found = bitq.load(tmp_path / "deploy").predict(data.test.x)
    expected = evaluate(graph, data.test.x)
    assert np.array_equal(found.scores, expected.scores)


def test_the_policy_is_the_most_that_a_matrix_gets():
    fitted = trained({"*": "int8", "0.weight": "bipolar", "3.weight": "odd2"}, budget=1.0)
    bits = {name: weight.book.bits for name, weight in fitted.quantized.weights.items()}
    assert bits["0.weight"] == 1
    assert bits["3.weight"] <= 2


def test_without_a_training_the_budget_still_holds():
    quantized = Quantizer(network(), {"*": "int8"}, METHOD).finish()
    total = sum(packed_bytes(w.codes.shape, w.book) for w in quantized.weights.values())
    assert total <= 0.2 * sum(w.codes.size for w in quantized.weights.values())


def test_networks_that_choose_for_themselves_are_trained_one_by_one():
    assert pays(network(), blobs(), TrainConfig(), named_method("ste_msqe"))
    assert not pays(network(), blobs(), TrainConfig(), METHOD)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bits": [1, 5]}, r"quant.bits: choose among 1, 2, 3, 4 and 8; got \[1, 5\]"),
        ({"decide": 0.8}, "quant.decide: '0.8' needs at most quant.freeze_start=0.75"),
        ({"warmup": 0.2}, "quant.bits: .* needs quant.warmup=0, not 0.2"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        validate(replace(METHOD, **changes), "quant")
