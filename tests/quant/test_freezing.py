"""When weights are fixed, and the rule that fixes those that go to and fro."""

import pytest
import torch
from torch import nn

from bitq.quant.codebook import CODEBOOKS
from bitq.quant.config import MethodConfig
from bitq.quant.freezing import freezing
from bitq.quant.matrix import Matrix
from bitq.quant.oscillation import Oscillation


def test_limits_and_tolerances_tighten_until_the_end():
    method = MethodConfig(freeze="oscillation", freeze_start=0.5, freeze_end=1.0, flip_limit=0.02)
    events = [freezing(method, step, 100) for step in range(101)]
    assert events[:50] == [None] * 50
    limits = [e.flip_limit for e in events[50:100] if e is not None]
    assert limits[0] == pytest.approx(0.08)
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] == pytest.approx(0.02, rel=0.02)
    assert events[100].everything


def test_only_a_change_of_direction_is_an_oscillation():
    there = Oscillation(torch.tensor([-1.0, -1.0]))
    for codes in ([1, 1], [1, 3], [-1, 3], [1, 3]):
        there.observe(torch.tensor(codes, dtype=torch.float32))
    # the first went up, down, up: two oscillations; the second only up
    assert there.frequency.tolist() == pytest.approx([0.01 * 0.99 + 0.01, 0])


def test_a_weight_that_oscillates_is_fixed_where_it_was_most_of_the_time():
    weight = nn.Parameter(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
    method = MethodConfig(forward="ste", freeze="oscillation", regularizer="none")
    matrix = Matrix("w", CODEBOOKS["bipolar"], weight, method, 1)
    for step in range(300):  # up for one step in three, down at the moment of freezing
        weight.data[0, 0] = 1.0 if step % 3 == 1 else -1.0
        weight.data[0, 3] = 1.0 if step % 3 == 2 else -1.0
        matrix.watch()
    assert float(weight.data[0, 3]) == 1.0
    matrix.freeze_oscillating(0.1)
    assert weight.data.tolist() == [[-1, -1, 1, -1]]
    weight.data.fill_(0.9)
    matrix.hold()
    assert weight.data[0].tolist() == pytest.approx([-1, 0.9, 0.9, -1])
    assert not matrix.done
    matrix.freeze(1.0)
    assert matrix.done
    assert weight.data.tolist() == [[-1, 1, 1, -1]]
