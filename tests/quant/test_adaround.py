"""Learned rounding: its formulas against the paper's, and outputs that stay nearer than by the nearest codeword."""

import pytest
import torch
from torch import nn

from bitq.api import named_method
from bitq.core.errors import ConfigError
from bitq.quant.adaround import firmness, rectified, unrectified
from bitq.quant.quantizer import Quantizer


def test_the_rectified_sigmoid_worked_by_hand():
    v = torch.tensor([-100.0, 0.0, 100.0, 1.0])
    assert rectified(v).tolist() == pytest.approx([0.0, 0.5, 1.0, 1.2 * 0.731059 - 0.1], abs=1e-5)
    h = torch.linspace(0.01, 0.99, 50)
    assert torch.allclose(rectified(unrectified(h)), h, atol=1e-6)


def test_firmness_is_zero_where_all_have_chosen_and_has_the_gradient_of_its_formula():
    assert float(firmness(torch.tensor([0.0, 1.0, 1.0]), 2.0)) == 0.0
    assert float(firmness(torch.tensor([0.5, 0.5]), 20.0)) == 2.0
    h = torch.tensor([0.1, 0.4, 0.7, 0.9], dtype=torch.float64, requires_grad=True)
    firmness(h, 3.0).backward()
    u = 2 * h.detach() - 1
    assert torch.allclose(h.grad, -6 * u.abs() ** 2 * u.sign())


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 6))


@pytest.mark.parametrize("book", ["bipolar", "ternary", "odd2", "int8"])
def test_outputs_stay_nearer_than_after_rounding_to_the_nearest(book):
    mixing = torch.randn(4, 12, generator=torch.Generator().manual_seed(1))
    rows = torch.randn(512, 4, generator=torch.Generator().manual_seed(2)) @ mixing  # correlated, as real inputs are
    unseen = torch.randn(512, 4, generator=torch.Generator().manual_seed(3)) @ mixing
    wanted, errors = network()(unseen).detach(), {}
    for rounding in ("ptq", "adaround"):
        model = network()
        Quantizer(model, {"*": book}, named_method(rounding)).finish(rows)
        errors[rounding] = float((model(unseen).detach() - wanted).square().mean())
    assert errors["adaround"] < 0.8 * errors["ptq"]


def test_without_rows_it_says_what_to_do():
    quantizer = Quantizer(network(), {"*": "bipolar"}, named_method("adaround"))
    with pytest.raises(ConfigError, match=r"finish\(rows\)"):
        quantizer.finish()
