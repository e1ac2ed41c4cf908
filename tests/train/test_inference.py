import numpy as np
import pytest
import torch
from torch import nn

from bitq.data.dataset import InputSpec
from bitq.train.inference import outputs, reestimate_batch_norm, to_float


def test_real_inputs_follow_the_encoding():
    x = np.array([[-128, 0, 127]], np.int8)
    assert to_float(x, InputSpec((3,), 0.5, -3)).tolist() == [[-62.5, 1.5, 65.0]]


@pytest.mark.parametrize("rows", [1, 1023, 1024, 1025])
def test_every_row_is_run_once_in_evaluation_mode(rows):
    x = np.random.default_rng(0).integers(-5, 5, (rows, 3)).astype(np.int8)
    model = nn.Sequential(nn.Identity(), nn.Dropout())
    model.train()
    kept = outputs(model, x, InputSpec((3,), 0.5, 1), lambda y, real: torch.stack([y, real]).swapaxes(0, 1))
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert torch.equal(kept[:, 0], torch.from_numpy(x) * 0.5 - 0.5)


@pytest.mark.parametrize("rows", [2, 3, 500, 501, 502, 1002, 1300])
def test_the_statistics_of_a_layer_are_those_of_all_rows(rows):
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2))
    x = torch.randn(rows, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, 3.0, -1.0])
    reestimate_batch_norm(model, x)
    assert torch.allclose(model[0].running_mean, x.mean(dim=0), rtol=1e-4, atol=1e-5)
    parts = x.tensor_split(max(1, rows // 500))
    within = sum(len(p) * p.var(dim=0) for p in parts) / rows
    assert torch.allclose(model[0].running_var, within, rtol=1e-4)
    assert torch.allclose(model[0].running_var, x.var(dim=0), rtol=0.03)


def test_a_later_layer_sees_what_the_earlier_ones_give():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3))
    x = torch.randn(400, 3) + 2
    reestimate_batch_norm(model, x)
    hidden = model[1](nn.functional.batch_norm(x, None, None, training=True))
    assert torch.allclose(model[2].running_mean, hidden.mean(dim=0), atol=1e-4)


def test_nothing_else_changes():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, momentum=0.3))
    weight = model[0].weight.clone()
    reestimate_batch_norm(model, torch.randn(100, 3))
    assert model[1].momentum == 0.3
    assert not model[1].training
    assert torch.equal(model[0].weight, weight)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
