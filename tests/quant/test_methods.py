"""Every composition in conf/quant: it learns, and it ends with plain weights that are code · scale."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitq.api import named_method
from bitq.core.fields import validate
from bitq.quant.matrix import QuantizedWeight
from bitq.quant.quantizer import Quantizer

NAMES = sorted(path.stem for path in Path("conf/quant").glob("*.yaml"))
ROUND_AT_THE_END = {"ptq", "symog", "adaround"}  # float weights and no freezing: these lose by it
STEPS = 200


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3), nn.BatchNorm1d(3))


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(seed))
    return x, x[:, :3].argmax(dim=1)


@dataclass(frozen=True)
class Trained:
    model: nn.Sequential
    before: torch.Tensor
    after: torch.Tensor
    accuracy: float
    weights: dict[str, QuantizedWeight]
    log: dict[str, float]


@functools.cache
def trained(name: str, book: str):
    """Train under a method and round."""
    torch.set_num_threads(1)
    model = network()
    method = named_method(name)
    validate(method, "quant")
    quantizer = Quantizer(model, {"*": book}, method)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    quantizer.attach(optimizer, STEPS)
    for step in range(STEPS):
        x, y = batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    log = quantizer.measure()
    model.eval()
    x, y = batch(STEPS)
    before = model(x).detach()
    weights = quantizer.finish(x).weights
    after = model(x).detach()
    model.train()  # batch statistics stand in for their re-estimation
    accuracy = float((model(x).argmax(dim=1) == y).float().mean())
    return Trained(model, before, after, accuracy, weights, log)


NAMED = pytest.mark.parametrize("name", NAMES)
BOOKS = pytest.mark.parametrize("book", ["bipolar", "ternary", "odd2"])


@NAMED
@BOOKS
def test_it_learns(name, book):
    if (name, book) == ("binaryconnect", "ternary"):
        pytest.skip("without a scale every fresh weight rounds to the code 0, and nothing can learn")
    assert trained(name, book).accuracy > 0.6  # chance is 1/3


@NAMED
@BOOKS
def test_it_leaves_plain_modules_of_code_times_scale(name, book):
    result = trained(name, book)
    assert [type(m) for m in result.model] == [type(m) for m in network()]
    assert set(result.weights) == {"0.weight", "3.weight"}
    for key, weight in result.weights.items():
        assert weight.book.dtype.allows(weight.codes)
        assert (weight.scale > 0).all()
        product = weight.codes.astype(np.float32) * weight.scale.astype(np.float32)[:, None]
        assert np.array_equal(result.model.get_parameter(key).detach().numpy(), product)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ROUND_AT_THE_END])
@BOOKS
def test_rounding_costs_nothing(name, book):
    result = trained(name, book)
    assert torch.allclose(result.after, result.before, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in NAMES if named_method(n).freeze != "none"])
@BOOKS
def test_where_it_freezes_all_weights_are_codewords(name, book):
    assert trained(name, book).log["weights/within_1pct"] == 1


@pytest.mark.parametrize("name", [n for n in NAMES if not named_method(n).bits])
def test_eight_bits_beside_one_bit_stay_a_full_codebook(name):
    model = network()
    quantizer = Quantizer(model, {"*": "bipolar", "3.weight": "int8"}, named_method(name))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    quantizer.attach(optimizer, 30)
    for step in range(30):
        x, y = batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    weight = quantizer.finish(batch(30)[0]).weights["3.weight"]
    assert np.abs(weight.codes).max() == 127
    assert len(np.unique(weight.codes)) > 8
    assert len(weight.scale) == 3


@NAMED
def test_a_recurrent_network_takes_it(name):
    torch.manual_seed(0)
    model = nn.GRU(4, 6, batch_first=True)
    quantizer = Quantizer(model, {"weight_*": "odd2"}, named_method(name))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    quantizer.attach(optimizer, 10)
    for _ in range(10):
        optimizer.zero_grad()
        model(torch.randn(2, 5, 4))[0].square().sum().backward()
        optimizer.step()
    weights = quantizer.finish(torch.randn(20, 5, 4)).weights
    assert weights["weight_hh_l0"].codes.shape == (18, 6)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
