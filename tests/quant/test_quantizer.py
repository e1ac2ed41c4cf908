"""The quantizer in a hand-written loop, without Lightning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from bitq.api import named_method
from bitq.core.errors import ConfigError, TrainingError
from bitq.quant.codebook import CODEBOOKS
from bitq.quant.config import MethodConfig
from bitq.quant.quantizer import Quantizer

STEPS = 60
PULL = MethodConfig(regularizer="msqe", strength=5.0, schedule="constant", freeze="none", reestimate=0)
STE = replace(PULL, forward="ste", regularizer="none")
METHODS = {name: named_method(name) for name in ("hq", "ste_msqe")}
BOOKS = pytest.mark.parametrize("book", CODEBOOKS)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def batch(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(seed))
    return x, x[:, :3].argmax(dim=1)


def loss_of(model: nn.Module) -> torch.Tensor:
    x, y = batch()
    return nn.functional.cross_entropy(model(x), y)


def train(model, quantizer=None, steps=STEPS, total=STEPS, after=lambda: None, optimizer=None):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=0.01)
    if quantizer is not None:
        quantizer.attach(optimizer, total)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
        after()
    return optimizer


def matrices(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p for name, p in model.state_dict().items() if p.dim() > 1}


@BOOKS
@pytest.mark.parametrize("scale", ["tensor", "channel"])
def test_the_forward_pass_sees_rounded_weights_and_the_gradient_passes_unchanged(book, scale):
    model = network()
    w = model[0].weight.detach().clone()
    Quantizer(model, {"0.weight": book}, replace(STE, scale=scale))
    s = CODEBOOKS[book].scale(w, per_channel=scale == "channel" or book == "int8")
    rounded = CODEBOOKS[book].nearest(w / s) * s
    assert torch.equal(model[0].weight, rounded)

    x = torch.randn(5, 6)
    model[0](x).square().sum().backward()
    plain = nn.Linear(6, 16)
    with torch.no_grad():
        plain.weight.copy_(rounded)
        plain.bias.copy_(model[0].bias)
    plain(x).square().sum().backward()
    assert torch.equal(model[0].weight.grad, plain.weight.grad)


def test_the_step_moves_the_latent_weights_by_the_gradient_at_the_rounded_ones():
    model = network()
    latent, rate = model[0].weight.detach().clone(), 0.01
    quantizer = Quantizer(model, {"0.weight": "bipolar"}, replace(STE, regularizer="none"))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    quantizer.attach(optimizer, 10)
    model(torch.randn(5, 6)).square().sum().backward()
    gradient = model[0].weight.grad.clone()
    optimizer.step()
    expected = latent - rate * gradient
    scale = CODEBOOKS["bipolar"].scale(expected, per_channel=False)
    assert torch.allclose(model[0].weight, torch.where(expected < 0, -scale, scale))
    assert torch.allclose(torch.from_numpy(quantizer.normalized()["0.weight"]) * scale.item(), expected.flatten())


def test_a_recurrent_layer_computes_with_rounded_weights_under_its_own_names():
    torch.manual_seed(0)
    model = nn.GRU(4, 6, batch_first=True)
    keys, x = list(model.state_dict()), torch.randn(2, 5, 4)
    before = model(x)[0]
    quantizer = Quantizer(model, {"weight_*": "bipolar"}, STE)
    rounded = nn.GRU(4, 6, batch_first=True)
    rounded.load_state_dict(model.state_dict())
    assert list(model.state_dict()) == keys
    assert all(len(w.abs().unique()) == 1 for name, w in model.state_dict().items() if "weight" in name)
    assert torch.equal(model(x)[0], rounded(x)[0])
    assert not torch.allclose(model(x)[0], before)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    quantizer.attach(optimizer, 3)
    for _ in range(3):
        model(x)[0].square().sum().backward()
        optimizer.step()
    weights = quantizer.finish().weights
    assert set(weights) == {"weight_ih_l0", "weight_hh_l0"}
    assert torch.equal(model.weight_hh_l0.sign(), torch.from_numpy(weights["weight_hh_l0"].codes).float())


@pytest.mark.parametrize("early", [True, False])
def test_the_optimizer_may_be_made_before_or_after(early):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01) if early else None
    quantizer = Quantizer(model, {"*": "bipolar"}, METHODS["ste_msqe"])
    before = matrices(network())
    train(model, quantizer, optimizer=optimizer)
    quantizer.finish()
    assert not any(torch.equal(w.sign(), before[name].sign()) for name, w in matrices(model).items())


@pytest.mark.parametrize("regularizer", ["hq", "msqe"])
def test_the_pull_does_not_touch_the_loss_or_its_gradient(regularizer):
    pulled, plain = network(), network()
    quantizer = Quantizer(pulled, {"*": "bipolar"}, replace(PULL, regularizer=regularizer))
    optimizer = torch.optim.SGD(pulled.parameters(), lr=0.01)
    quantizer.attach(optimizer, STEPS)
    loss, expected = loss_of(pulled), loss_of(plain)
    loss.backward()
    expected.backward()
    assert torch.equal(loss, expected)
    for p, q in zip(pulled.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    w = pulled[0].weight.detach().clone()
    stepped = w - 0.01 * pulled[0].weight.grad
    optimizer.step()
    assert not torch.equal(pulled[0].weight, stepped)
    assert torch.equal(pulled[0].bias, plain[0].bias - 0.01 * plain[0].bias.grad)


def test_one_pull_worked_by_hand():
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.5, -1.5]]))  # scale 1, msqe force −0.5 and −0.5
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Quantizer(model, {"*": "bipolar"}, replace(PULL, strength=2.0)).attach(optimizer, 10)
    model.weight.grad = torch.zeros(1, 2)
    optimizer.step()
    assert torch.allclose(model.weight, torch.tensor([[0.6, -1.4]]))


def test_a_huge_strength_never_leaps_over_the_codeword():
    model = network()
    train(model, Quantizer(model, {"*": "bipolar"}, replace(PULL, strength=1e6)), steps=30)
    assert all(torch.isfinite(w).all() for w in matrices(model).values())
    u = Quantizer(model, {"*": "bipolar"}, PULL).normalized()
    assert max(np.abs(np.abs(v) - 1).max() for v in u.values()) < 0.2


@BOOKS
@pytest.mark.parametrize("method", METHODS)
def test_training_ends_on_codewords_and_rounding_costs_nothing(book, method):
    model = network()
    quantizer = Quantizer(model, {"*": book}, METHODS[method])
    train(model, quantizer)
    model.eval()
    x, _ = batch()
    before = model(x)
    finished = quantizer.finish()
    assert torch.allclose(model(x), before, atol=1e-5)
    for name, weight in finished.weights.items():
        assert weight.book.dtype.allows(weight.codes), name


@pytest.mark.parametrize("start", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("end", [0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 3, STEPS])
def test_progressive_freezing_always_freezes_everything(start, end, steps):
    model = network()
    method = replace(METHODS["hq"], freeze_start=start, freeze_end=end)
    quantizer = Quantizer(model, {"*": "bipolar"}, method)
    train(model, quantizer, steps=steps, total=steps)
    assert quantizer.measure()["weights/within_1pct"] == 1


@pytest.mark.parametrize("method", METHODS)
def test_frozen_codes_never_change(method):
    model = network()
    quantizer = Quantizer(model, {"*": "bipolar"}, METHODS[method])
    frozen: dict[str, np.ndarray] = {}
    share: list[float] = []

    def watch():
        for name, u in quantizer.normalized().items():
            arrived = np.isclose(np.abs(u), 1, atol=1e-6) if quantizer.progress >= 0.75 else np.zeros(u.shape, bool)
            held = frozen.setdefault(name, np.zeros(u.shape))
            assert np.array_equal(np.sign(u)[held != 0], held[held != 0])
            held[arrived] = np.sign(u)[arrived]
        share.append(np.mean([np.mean(h != 0) for h in frozen.values()]))

    train(model, quantizer, after=watch)
    assert share[-1] == 1


def test_all_codes_are_frozen_from_the_start_of_freezing():
    model = network()
    quantizer = Quantizer(model, {"*": "bipolar"}, METHODS["ste_msqe"])
    optimizer = train(model, quantizer, steps=45)
    codes = {n: w.sign() for n, w in matrices(model).items()}
    biases = model[3].bias.detach().clone()
    for _ in range(15):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    assert all(torch.equal(w.sign(), codes[n]) for n, w in matrices(model).items())
    assert not torch.equal(model[3].bias, biases)


@BOOKS
@pytest.mark.parametrize("forward", ["float", "ste"])
@pytest.mark.parametrize("scale", ["tensor", "channel"])
def test_finish_leaves_a_plain_model_whose_weights_are_code_times_scale(book, forward, scale):
    model = network()
    keys = set(model.state_dict())
    quantizer = Quantizer(model, {"0.weight": book}, replace(PULL, forward=forward, scale=scale))
    train(model, quantizer, steps=3)
    weight = quantizer.finish().weights["0.weight"]
    assert set(model.state_dict()) == keys
    assert not any(parametrize.is_parametrized(m) for m in model.modules())
    assert type(model[0]) is nn.Linear
    assert weight.codes.dtype == np.int8
    assert weight.scale.shape == ((16,) if scale == "channel" or book == "int8" else (1,))
    product = weight.codes.astype(np.float32) * weight.scale.astype(np.float32)[:, None]
    assert np.array_equal(model[0].weight.detach().numpy(), product)
    assert model[0].weight.requires_grad


def test_after_finish_the_optimizer_is_free_of_the_method():
    model = network()
    quantizer = Quantizer(model, {"*": "bipolar"}, PULL)
    optimizer = train(model, quantizer, steps=3)
    quantizer.finish()
    with torch.no_grad():
        model[0].weight.fill_(0.3)[0, 0] = -2.0
    before = model[0].weight.detach().clone()
    optimizer.zero_grad()
    optimizer.step()
    assert torch.equal(model[0].weight, before)


def test_eight_bits_beside_one():
    model = network()
    quantizer = Quantizer(model, {"*": "bipolar", "3.weight": "int8"}, METHODS["hq"])
    train(model, quantizer)
    weights = quantizer.finish().weights
    assert {n: w.book.bits for n, w in weights.items()} == {"0.weight": 1, "3.weight": 8}
    assert len(np.unique(weights["0.weight"].codes)) == 2
    assert len(np.unique(weights["3.weight"].codes)) > 8
    assert np.abs(weights["3.weight"].codes).max() == 127
    assert len(weights["3.weight"].scale) == 3


def test_warmup_trains_float_weights_first():
    model = network()
    w = model[0].weight.detach().clone()
    quantizer = Quantizer(model, {"*": "bipolar"}, replace(STE, warmup=0.5))
    assert torch.equal(model[0].weight, w)
    train(model, quantizer, steps=STEPS // 2)
    assert len(model[0].weight.detach().abs().unique()) == 1


def test_learning_works_with_either_method():
    for method in METHODS.values():
        model = network()
        quantizer = Quantizer(model, {"*": "bipolar"}, method)
        train(model, quantizer, steps=200, total=200)
        quantizer.finish()
        x, y = batch()
        assert (model(x).argmax(dim=1) == y).float().mean() > 0.75, method.name


def test_measure_counts_flips_and_distances():
    model = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
    quantizer = Quantizer(model, {"*": "bipolar"}, PULL)
    first = quantizer.measure()
    assert (first["weights/flips"], first["weights/within_1pct"], first["weights/weight/msqe"]) == (0, 1, 0)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0, -1.0, 1.5, -0.5]]))
    second = quantizer.measure()
    assert second["weights/flips"] == 0.25
    assert second["weights/within_1pct"] == 0.5
    assert second["weights/weight/msqe"] == pytest.approx(2 * 0.25**2 / 4)
    assert quantizer.measure()["weights/flips"] == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(bad):
    model = network()
    quantizer = Quantizer(model, {"*": "bipolar"}, PULL)
    with torch.no_grad():
        model[3].weight[0, 0] = bad
    with pytest.raises(TrainingError, match=r"3\.weight holds values that are not finite"):
        quantizer.finish()


def test_it_rounds_once():
    quantizer = Quantizer(network(), {"*": "bipolar"}, PULL)
    quantizer.finish()
    with pytest.raises(TrainingError, match="finished already"):
        quantizer.finish()


def test_an_optimizer_without_a_matrix_is_refused():
    model = network()
    quantizer = Quantizer(model, {"*": "bipolar"}, PULL)
    with pytest.raises(ConfigError, match=r"does not update 3\.weight"):
        quantizer.attach(torch.optim.SGD(model[0].parameters(), lr=0.1), 10)
    with pytest.raises(ConfigError, match="total_steps: must be at least 1, got 0"):
        quantizer.attach(torch.optim.SGD(model.parameters(), lr=0.1), 0)


@pytest.mark.parametrize("name", ["hq", "ste_msqe", "lsq"])
@pytest.mark.parametrize("keyword", [False, True])
def test_an_optimizer_that_calls_for_its_gradient_gets_that_of_the_rounded_weights(name, keyword):
    plain, called = network(), network()
    quantizer = Quantizer(plain, {"*": "bipolar"}, named_method(name))
    train(plain, quantizer)
    optimizer = torch.optim.Adam(called.parameters(), lr=0.01)
    other = Quantizer(called, {"*": "bipolar"}, named_method(name))
    other.attach(optimizer, STEPS)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(called)
        loss.backward()
        return loss

    for _ in range(STEPS):
        optimizer.step(closure=closure) if keyword else optimizer.step(closure)
    for a, b in zip(
        quantizer.finish().model.state_dict().values(), other.finish().model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)


def test_an_optimizer_that_calls_several_times_per_step_gets_there_too():
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    seen = []
    Quantizer(model, {"*": "bipolar"}, STE).attach(optimizer, 5)

    def closure():
        seen.append(len(model[0].weight.detach().abs().unique()))
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(5)]
    assert len(seen) > 5
    assert set(seen) == {1}
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("scale", ["tensor", "channel"])
@pytest.mark.parametrize("book", ["bipolar", "odd2"])
def test_scales_learn_on_by_their_own_gradient_once_codes_are_frozen(book, scale):
    method = replace(STE, scale=scale, freeze="all", freeze_start=0.5, tune_scales=True)
    model = network()
    quantizer = Quantizer(model, {"3.weight": book}, method)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    quantizer.attach(optimizer, 4)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    frozen = model[3].weight.detach().clone()
    unit = frozen.abs().reshape(1 if scale == "tensor" else 3, -1).amin(1, keepdim=True)  # some weight has code ±1
    codes, twin = (frozen / unit).round(), network()
    twin.load_state_dict(model.state_dict())
    apart = nn.Parameter(unit.clone())
    x, y = batch()
    nn.functional.cross_entropy(torch.func.functional_call(twin, {"3.weight": codes * apart}, (x,)), y).backward()
    optimizer.zero_grad()
    loss_of(model).backward()
    optimizer.step()
    wanted = codes * (unit - 0.01 * apart.grad)
    assert torch.allclose(model[3].weight, wanted, atol=1e-6)
    assert not torch.allclose(model[3].weight, frozen)
    rounded = quantizer.finish().weights["3.weight"]
    assert np.array_equal(rounded.codes, codes.numpy())
