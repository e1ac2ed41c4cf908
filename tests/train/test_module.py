import math

import pytest
import torch
from torch import nn

from bitq.core.errors import TrainingError
from bitq.train.config import TrainConfig
from bitq.train.module import EpochModule


class Recorder(nn.Module):
    """Notes the rows of every batch; its input is the row's number."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, 2))
        self.batches: list[list[int]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(x[:, 0].int().tolist())
        return x @ self.w


def module(rows: int, batch: int, seed: int = 0, epoch: int = 0, **config: object) -> EpochModule:
    x = torch.arange(rows).float()[:, None]
    made = EpochModule(
        Recorder(), x, torch.arange(rows) % 2, nn.CrossEntropyLoss(), TrainConfig(batch=batch, **config), seed, None
    )
    optimizer = made.configure_optimizers()
    made.optimizers = lambda use_pl_optimizer: optimizer
    made._epoch = epoch
    return made


@pytest.fixture(autouse=True)
def _epoch(monkeypatch):
    monkeypatch.setattr(EpochModule, "current_epoch", property(lambda self: self._epoch))


def order(seed: int, epoch: int, rows: int = 40, batch: int = 8) -> list[list[int]]:
    made = module(rows, batch, seed, epoch)
    torch.rand(7)  # the global generator has no say
    made.training_step(torch.zeros(1), 0)
    return made.model.batches


def test_the_order_depends_on_seed_and_epoch_only():
    assert order(3, 1) == order(3, 1)
    assert order(3, 1) != order(3, 2)
    assert order(3, 1) != order(4, 1)


@pytest.mark.parametrize(
    ("rows", "batch", "sizes"), [(40, 8, [8] * 5), (41, 8, [8] * 5), (42, 8, [8] * 5 + [2]), (3, 9, [3])]
)
def test_every_row_comes_once_and_never_alone(rows, batch, sizes):
    batches = order(0, 0, rows, batch)
    assert [len(b) for b in batches] == sizes
    assert len({row for b in batches for row in b}) == sum(sizes)


def test_the_rate_follows_a_cosine_to_zero():
    made = module(40, 8, epochs=4, lr=0.1)
    rates = []
    made._set_rate = lambda o, p, f=made._set_rate: (f(o, p), rates.append((p, o.param_groups[0]["lr"])))
    for epoch in range(4):
        made._epoch = epoch
        made.training_step(torch.zeros(1), 0)
    assert len(rates) == 20
    assert rates[0] == (0.0, 0.1)
    assert all(rate == pytest.approx(0.05 * (1 + math.cos(math.pi * p))) for p, rate in rates)
    assert rates[-1][1] < 0.001


def test_a_loss_that_is_not_finite_stops_the_training_with_advice():
    made = module(40, 8, lr=0.1)
    with torch.no_grad():
        made.model.w.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"not finite in epoch 1.*lower train\.lr \(now 0\.1\)"):
        made.training_step(torch.zeros(1), 0)


def test_a_held_rate_stays_until_its_share_and_then_falls_to_zero(monkeypatch):
    rates = []
    made = module(8, 4, schedule="hold", hold=0.5, lr=0.1, epochs=100)
    optimizer = made.optimizers(False)
    for progress in (0.0, 0.25, 0.5, 0.75, 1.0):
        made._set_rate(optimizer, progress)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.0])


def test_a_teacher_with_the_same_scores_adds_nothing_and_another_pulls_towards_its_own():
    made = module(6, 6, distill=0.5, temperature=2.0)
    x, y = torch.arange(6.0)[:, None], torch.arange(6) % 2
    scores = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    alone = made.loss(scores, x, y)

    class Fixed(nn.Module):
        def __init__(self, values: torch.Tensor) -> None:
            super().__init__()
            self.values = values

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.values

    made._teacher = (Fixed(scores.detach()),)
    assert torch.allclose(made.loss(scores, x, y), 0.5 * alone)
    wanted = scores.detach().flip(1)
    made._teacher = (Fixed(wanted),)
    soft = torch.log_softmax(scores / 2.0, 1), torch.softmax(wanted / 2.0, 1)
    divergence = (soft[1] * (soft[1].log() - soft[0])).sum(1).mean() * 4.0
    assert torch.allclose(made.loss(scores, x, y), 0.5 * alone + 0.5 * divergence)
    assert not any("teacher" in name for name, _ in made.named_modules())
