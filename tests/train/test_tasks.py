import numpy as np
import pytest
import torch
from torch import nn

from bitq.train.config import TrainConfig
from bitq.train.fit import fit
from bitq.train.metrics import METRICS
from bitq.train.tasks import TASKS, answers
from tests.data_sets import blobs, spirals, waves


def test_a_classifier_answers_with_the_lowest_of_equal_scores():
    data = blobs(shape=(3,))
    rows = np.random.default_rng(0).integers(-5, 5, (1100, 3)).astype(np.int8)
    assert np.array_equal(answers(nn.Identity(), rows, data), rows.argmax(axis=1))


def test_the_standardized_targets_are_the_targets_in_their_units():
    data = spirals()
    x = torch.zeros(len(data.train), 4)
    wanted = TASKS["regression"].targets(data, x)
    assert wanted.mean(dim=0).abs().max() < 1e-5
    assert (wanted.std(dim=0) - 1).abs().max() < 0.01
    assert np.allclose(TASKS["regression"].answers(data, wanted, x).numpy(), data.train.y, atol=1e-3)


def test_the_error_of_a_perfect_reconstruction_is_zero():
    data = waves()
    assert np.array_equal(answers(nn.Identity(), data.test.x, data), np.zeros(len(data.test)))


@pytest.mark.parametrize(("data", "hidden", "bound"), [(spirals(), [32], 6.0), (waves(), [16, 4, 16], -0.85)])
def test_it_is_learned(data, hidden, bound):
    torch.manual_seed(0)
    widths = [int(np.prod(data.input.shape)), *hidden]
    layers = [
        layer
        for a, b in zip(widths, hidden, strict=False)
        for layer in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())
    ]
    model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], data.outputs))
    fitted = fit(model, data, TrainConfig(epochs=25, batch=32, lr=0.01), 0)
    found = METRICS[data.metric](data.test.y, answers(model, data.test.x, data))
    assert (found if data.metric == "mae" else -found) < bound
    assert fitted.before.shape == (data.test.y.shape if data.task == "regression" else (len(data.test),))
    assert f"val/{data.metric}" in fitted.history[0]
