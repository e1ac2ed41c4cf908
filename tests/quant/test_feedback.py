"""Closed loops: the flip rate follows its target, the learned strength its fixed point."""

import functools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from bitq.api import named_method
from bitq.quant.codebook import CODEBOOKS
from bitq.quant.config import MethodConfig
from bitq.quant.feedback import Learned, Paced
from bitq.quant.forwards import Moment
from bitq.quant.matrix import Matrix
from bitq.quant.quantizer import Quantizer

PACED = replace(named_method("ste_paced"), freeze="none", freeze_start=1.0)


@functools.cache
def shaken(strength: float, noise: float, target: float, schedule: str = "paced") -> tuple[list[float], list[float]]:
    """Weights that nothing but noise moves, under a pull; return flip rates and strengths per hundredth."""
    torch.manual_seed(0)
    steps, codes, flips, strengths = 2000, None, [], []
    model = nn.Linear(40, 50, bias=False)
    method = replace(PACED, strength=strength, flip_target=target, schedule=schedule)
    quantizer = Quantizer(model, {"*": "bipolar"}, method)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    quantizer.attach(optimizer, steps)
    for step in range(steps):
        model.weight.grad = torch.randn(50, 40) * noise
        optimizer.step()
        if step % (steps // 100) == 0:
            now = model.weight.detach().sign()
            if codes is not None:
                flips.append(float((now != codes).float().mean()))
                strengths.append(quantizer.strength)
            codes = now
    return flips, strengths


@pytest.mark.parametrize("start", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("target", [0.01, 0.02])
def test_the_flip_rate_follows_the_target_from_any_strength(start, target):
    flips, _ = shaken(start, noise=0.3, target=target)
    for low in (40, 55, 70):
        wanted = sum(target * (1 - (i + 1) / 100) for i in range(low, low + 15)) / 15
        assert sum(flips[low : low + 15]) / 15 == pytest.approx(wanted, rel=0.5)
    assert sum(flips[95:]) / 4 < target / 4


@pytest.mark.parametrize("start", [0.01, 30.0])
def test_a_strength_that_is_left_alone_misses_the_target(start):
    wanted = sum(0.01 * (1 - (i + 1) / 100) for i in range(40, 85))
    paced = sum(shaken(start, noise=0.3, target=0.01)[0][40:85])
    alone = sum(shaken(start, noise=0.3, target=0.01, schedule="constant")[0][40:85])
    assert abs(alone - wanted) > 3 * abs(paced - wanted)


def test_the_strength_moves_against_the_error_and_within_its_bounds():
    weight = nn.Parameter(torch.ones(1, 100))
    matrix = Matrix("w", CODEBOOKS["bipolar"], weight, MethodConfig(freeze="none"), 1)
    calm = Paced(PACED, 100)
    for step in range(1, 101):
        calm.observe(step, Moment(step / 200, 1.0), [matrix], 0.1)
    assert calm.factor == pytest.approx(1e-3)  # nothing flips: let go, to the bound
    wild = Paced(PACED, 100)
    for step in range(1, 101):
        weight.data.neg_()
        wild.observe(step, Moment(step / 200, 1.0), [matrix], 0.1)
    assert wild.factor == pytest.approx(1e4)


def test_it_rests_once_everything_is_to_be_frozen():
    weight = nn.Parameter(torch.ones(1, 100))
    matrix = Matrix("w", CODEBOOKS["bipolar"], weight, MethodConfig(freeze="none"), 1)
    paced = Paced(replace(PACED, freeze_start=0.5), 10)
    for step in range(5, 11):
        weight.data.neg_()
        paced.observe(step, Moment(step / 10, 0.5), [matrix], 0.1)
    assert paced.factor == 1


@pytest.mark.parametrize("start", [0.01, 1.0, 50.0])
def test_the_learned_strength_settles_at_c_over_r(start):
    weight = nn.Parameter(torch.tensor([[0.5, 1.5, -0.5, -1.5]]))  # scale 1, R = 0.5²/2
    method = MethodConfig(forward="ste", regularizer="msqe", schedule="learned", strength=start, log_weight=0.25)
    matrix = Matrix("w", CODEBOOKS["bipolar"], weight, method, 1)
    learned = Learned(method, 1000)
    for step in range(1000):
        learned.observe(step, Moment(step / 1000, 1.0), [matrix], 0.05)
    assert start * learned.factor == pytest.approx(0.25 / 0.125, rel=0.01)


def test_one_step_of_the_learned_strength_is_descent_on_the_published_loss():
    c, start, rate = 0.25, 0.8, 0.01
    weight = nn.Parameter(torch.tensor([[0.5, 1.5, -0.5, -1.5]]))
    method = MethodConfig(forward="ste", regularizer="msqe", schedule="learned", strength=start, log_weight=c)
    learned = Learned(method, 10)
    learned.observe(1, Moment(0.1, 1.0), [Matrix("w", CODEBOOKS["bipolar"], weight, method, 1)], rate)
    omega = torch.tensor(math.log(start), requires_grad=True)
    (omega.exp() * 0.125 - c * omega).backward()  # λR − c·log λ with λ = exp ω
    assert math.log(start * learned.factor) == pytest.approx(math.log(start) - rate * float(omega.grad) / c)
