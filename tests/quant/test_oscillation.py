"""Oscillation counts changes that go back on the one before, as a running mean."""

import pytest
import torch

from bitq.quant.oscillation import Oscillation


def observed(*codes: float) -> Oscillation:
    watched = Oscillation(torch.tensor([codes[0]]))
    for code in codes[1:]:
        watched.observe(torch.tensor([code]))
    return watched


def test_to_and_fro_counts_and_onward_does_not():
    assert observed(-3.0, -1.0, 1.0, 3.0).frequency.item() == 0
    assert observed(-1.0, 1.0, 1.0, 1.0).frequency.item() == 0
    assert observed(-1.0, 1.0, -1.0).frequency.item() == pytest.approx(0.01)
    assert observed(-1.0, 1.0, 1.0, -1.0).frequency.item() == pytest.approx(0.01)


def test_a_weight_that_turns_at_every_step_approaches_one():
    assert observed(*[(-1.0) ** step for step in range(1000)]).frequency.item() > 0.99


def test_the_mean_code_is_the_one_held_most():
    codes = [-1.0 if step % 4 else 1.0 for step in range(2000)]
    assert observed(*codes).mean_code.item() == pytest.approx(-0.5, abs=0.05)
