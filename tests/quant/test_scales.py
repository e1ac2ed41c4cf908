import pytest
import torch
from torch import nn

from bitq.quant.codebook import CODEBOOKS
from bitq.quant.config import MethodConfig
from bitq.quant.quantizer import Quantizer
from bitq.quant.scales import SCALES, gates_of

W = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.5, -8.0], [0.0, 4.0, 1.0]])
COARSE = pytest.mark.parametrize("book", [b for b in CODEBOOKS.values() if b.spread], ids=lambda b: b.name)


@COARSE
@pytest.mark.parametrize("name", SCALES)
def test_a_scale_broadcasts_is_positive_and_follows_the_weights(name, book):
    w = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    scale = SCALES[name](w, book, 3)
    assert scale.dim() == 3
    assert scale.shape[0] in (1, 6)
    assert (scale > 0).all()
    assert torch.isfinite(w / SCALES[name](torch.zeros_like(w), book, 3)).all()
    if name not in ("none", "dorefa"):
        assert torch.allclose(SCALES[name](4 * w, book, 3), 4 * scale)


@pytest.mark.parametrize(
    ("name", "book", "value"),
    [
        ("none", "bipolar", 1.0),
        ("none", "odd2", 1 / 3),
        ("tensor", "bipolar", 20 / 9),
        ("absmean", "ternary", 20 / 9),
        ("absmean", "odd2", 0.624 * 20 / 9),
        ("median", "ternary", 1.0),
        ("pow2", "bipolar", 2.0),
        ("dorefa", "bipolar", 20 / 9),
        ("dorefa", "odd3", 1 / 7),
    ],
)
def test_worked_by_hand(name, book, value):
    assert float(SCALES[name](W, CODEBOOKS[book], 1)) == pytest.approx(value)


def test_every_gate_has_the_scale_that_it_would_have_alone():
    w = torch.randn(12, 5) * torch.tensor([1.0, 10.0, 100.0]).repeat_interleave(4)[:, None]
    scale = SCALES["gate"](w, CODEBOOKS["bipolar"], 3)
    for block, s in zip(w.chunk(3), scale.chunk(3), strict=True):
        assert torch.allclose(s, block.abs().mean().expand(4, 1))


def test_gates_are_those_of_the_layer():
    model = nn.ModuleDict(
        {"gru": nn.GRU(3, 5), "lstm": nn.LSTM(3, 5), "cell": nn.GRUCell(3, 5), "fc": nn.Linear(5, 6)}
    )
    gates = {name: gates_of(model, name) for name, p in model.named_parameters() if p.dim() > 1}
    assert gates == {
        "gru.weight_ih_l0": 3,
        "gru.weight_hh_l0": 3,
        "lstm.weight_ih_l0": 4,
        "lstm.weight_hh_l0": 4,
        "cell.weight_ih": 3,
        "cell.weight_hh": 3,
        "fc.weight": 1,
    }


def test_one_scale_per_gate_ends_as_a_scale_per_row():
    model = nn.GRU(3, 5)
    method = MethodConfig(scale="gate", regularizer="none", freeze="none")
    weight = Quantizer(model, {"*": "bipolar"}, method).finish().weights["weight_hh_l0"]
    assert weight.scale.shape == (15,)
    assert len(set(weight.scale.tolist())) == 3


def test_a_power_of_two_is_kept_from_the_start():
    model = nn.Linear(8, 8, bias=False)
    quantizer = Quantizer(model, {"*": "bipolar"}, MethodConfig(scale="pow2", regularizer="none", freeze="none"))
    with torch.no_grad():
        expected = 2.0 ** torch.log2(model.weight.abs().mean()).round()
        model.weight.mul_(100)
    assert quantizer.finish().weights["weight"].scale.tolist() == [float(expected)]


@pytest.mark.parametrize("scale", ["none", "pow2"])
def test_clipped_weights_stay_in_the_range_of_the_codebook(scale):
    model = nn.Linear(8, 8, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    method = MethodConfig(scale=scale, clip=True, forward="ste", regularizer="none", freeze="none")
    quantizer = Quantizer(model, {"*": "odd2"}, method)
    quantizer.attach(optimizer, 5)
    for _ in range(5):
        model.weight.grad = torch.randn(8, 8) * 10
        optimizer.step()
    u = torch.from_numpy(quantizer.normalized()["weight"])
    assert float(u.abs().max()) == pytest.approx(3)
