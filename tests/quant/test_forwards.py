"""Forward maps and their gradient rules, against published limits and values worked by hand."""

import pytest
import torch
from torch import nn

from bitq.api import named_method
from bitq.quant.codebook import CODEBOOKS
from bitq.quant.forwards import FORWARDS, Moment, parq_rho
from bitq.quant.quantizer import Quantizer

COARSE = pytest.mark.parametrize("book", [b for b in CODEBOOKS.values() if b.spread], ids=lambda b: b.name)
ONE = torch.ones(1, 1)


def seen(name, u, book, progress, freeze_start=1.0):
    return FORWARDS[name].value(torch.tensor([u]), ONE, book, Moment(progress, freeze_start))[0]


@COARSE
@pytest.mark.parametrize("name", FORWARDS)
def test_at_the_start_of_freezing_every_map_has_arrived_at_the_codebook(name, book):
    w = torch.linspace(-1.5 * book.dtype.high, 1.5 * book.dtype.high, 301)[None]
    scale = 0.7 * ONE
    value = FORWARDS[name].value(w.clone(), scale, book, Moment(0.8, 0.8))
    codes = book.nearest(FORWARDS[name].place(w, scale, book))
    assert torch.allclose(value, codes * scale, atol=1e-6)


@COARSE
def test_parq_begins_as_the_identity_inside_the_range_and_clips_outside(book):
    top = book.dtype.high
    w = torch.linspace(-1.5 * top, 1.5 * top, 301)[None]
    assert torch.allclose(
        FORWARDS["parq"].value(w.clone(), ONE, book, Moment(0.0, 1.0)), w.clamp(-top, top), atol=1e-5
    )


@pytest.mark.parametrize("name", ["parq", "binaryrelax", "continuation"])
@COARSE
def test_a_relaxed_map_is_monotone_and_comes_nearer_to_the_codebook(name, book):
    w = torch.linspace(-book.dtype.high, book.dtype.high, 203)[None]
    rounded = book.nearest(w)
    distances = []
    for step in range(11):
        value = FORWARDS[name].value(w.clone(), ONE, book, Moment(step / 10, 1.0))
        assert (value.diff() >= -1e-5).all()
        distances.append(float((value - rounded).abs().mean()))
    assert distances == sorted(distances, reverse=True)


def test_parq_worked_by_hand():
    assert parq_rho(0) == pytest.approx(1)
    assert parq_rho(0.5) == pytest.approx(0.5)
    assert parq_rho(1) == pytest.approx(0)
    odd2 = CODEBOOKS["odd2"]  # halfway, rho = 1/2: distances from the middle double, cut at the codewords
    assert seen("parq", [0.2, 0.7, 1.9, 2.4, -5.0], odd2, 0.5).tolist() == pytest.approx([0.4, 1.0, 1.8, 2.8, -3.0])


def test_binaryrelax_worked_by_hand():
    bipolar = CODEBOOKS["bipolar"]
    assert seen("binaryrelax", [0.5, -3.0], bipolar, 0.0).tolist() == pytest.approx([0.75, -2.0])  # gamma 1
    assert seen("binaryrelax", [0.5], bipolar, 0.5).tolist() == pytest.approx([(0.5 + 10) / 11])
    assert seen("binaryrelax", [0.5, -3.0], bipolar, 0.9, 0.9).tolist() == [1, -1]


@COARSE
def test_continuation_has_the_gradient_of_its_map(book):
    torch.manual_seed(0)
    w = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    scale, moment = torch.full((1, 1), 0.3, dtype=torch.float64), Moment(0.25, 1.0)
    u, step = w / scale, book.dtype.step
    low = (book.lowest + step * ((u.detach() - book.lowest) / step).floor()).clamp(
        book.lowest, book.dtype.high - step
    )
    value = scale * (low + step / 2 + step / 2 * torch.tanh(100**0.25 * (u - low - step / 2) / (step / 2)))
    assert torch.allclose(FORWARDS["continuation"].value(w.detach(), scale, book, moment), value.detach())
    value.sum().backward()
    assert torch.allclose(FORWARDS["continuation"].slope(w.detach(), scale, book, moment), w.grad)


def test_continuation_worked_by_hand():
    assert seen("continuation", [0.5, -2.0], CODEBOOKS["bipolar"], 0.0).tolist() == pytest.approx(
        [0.46212, -0.96403], abs=1e-5
    )


@COARSE
def test_dorefa_has_the_gradient_of_its_transform(book):
    torch.manual_seed(0)
    w = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    scale, upstream = torch.full((1, 1), 0.3, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    slope = FORWARDS["dorefa"].slope(w.detach(), scale, book, Moment(0.5, 1.0))
    if book.bits == 1:
        assert torch.equal(slope, torch.ones_like(slope))
        return
    bent = torch.tanh(w)
    (scale * book.dtype.high * bent / bent.detach().abs().max() * upstream).sum().backward()
    assert torch.allclose(slope * upstream, w.grad)


def test_dorefa_of_two_bits_is_the_published_formula():
    torch.manual_seed(1)
    w = torch.randn(20, 20)
    model = nn.Linear(20, 20, bias=False)
    with torch.no_grad():
        model.weight.copy_(w)
    Quantizer(model, {"*": "odd2"}, named_method("dorefa"))
    bent = torch.tanh(w)
    published = 2 / 3 * torch.round(3 * (bent / (2 * bent.abs().max()) + 0.5)) - 1
    assert torch.allclose(model.weight, published, atol=1e-6)


def lsq_reference(w, s, low, high):
    """The published pseudocode with detached residuals, on the grid of all integers, and its autograd."""

    def through(x, y):
        return (y - x).detach() + x

    factor = 1 / (w.numel() * high) ** 0.5
    step = through(s * factor, s)
    inner = torch.clamp(w / step, low, high)
    return through(inner, torch.round(inner)) * step


def test_lsq_has_the_gradients_of_the_published_pseudocode():
    torch.manual_seed(0)
    model = nn.Linear(8, 6, bias=False)
    quantizer = Quantizer(model, {"*": "ternary"}, named_method("lsq"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    latent = torch.from_numpy(quantizer.normalized()["weight"]).reshape(6, 8)
    quantizer.attach(optimizer, 10)
    s = optimizer.param_groups[0]["params"][-1]
    first = s.detach().clone()
    upstream = torch.randn(6, 8)
    w = (latent * first).requires_grad_()
    step = first.clone().requires_grad_()
    (lsq_reference(w, step, -1, 1) * upstream).sum().backward()
    model.weight.grad = upstream.clone()
    optimizer.step()
    assert torch.allclose(s.grad, step.grad, atol=1e-5)
    assert torch.allclose(model.weight.grad, w.grad)
    assert torch.allclose(s.detach(), first - 0.1 * step.grad, atol=1e-6)


def test_lsq_worked_by_hand():
    model = nn.Linear(4, 1, bias=False)
    with torch.no_grad():  # mean|w| 1: scale 1, codes 1 −1 1 −1
        model.weight.copy_(torch.tensor([[0.5, -0.5, 1.5, -1.5]]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Quantizer(model, {"*": "bipolar"}, named_method("lsq")).attach(optimizer, 10)
    model.weight.grad = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    optimizer.step()
    # Q − u = 0.5 and −0.5 inside, 1 and −1 outside; times the gradients 0.5 − 1 + 3 − 4, times 1/√(4·1)
    assert float(optimizer.param_groups[0]["params"][-1].grad) == pytest.approx(-0.75)
    assert model.weight.grad.tolist() == [[1, 2, 0, 0]]


def test_a_learned_scale_stays_positive():
    model = nn.Linear(4, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e6)
    quantizer = Quantizer(model, {"*": "bipolar"}, named_method("lsq"))
    quantizer.attach(optimizer, 10)
    model.weight.grad = model.weight.detach().sign()
    optimizer.step()
    assert (quantizer.finish().weights["weight"].scale > 0).all()
