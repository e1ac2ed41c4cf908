from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bitq.config import named_method
from bitq.core.errors import ConfigError, TrainingError
from bitq.data.dataset import Split
from bitq.train.config import TrainConfig
from bitq.train.fit import fit
from bitq.train.tasks import answers
from tests.data_sets import blobs

CONFIG = TrainConfig(epochs=8, batch=32, lr=0.01)
BINARY = {"policy": {"*": "bipolar"}, "method": named_method("ste_msqe")}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


class Viewing(nn.Module):
    """What most people write between the last convolution and the head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4 * 4, 3)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv(x).relu(), 2)
        return self.head(x.view(x.size(0), -1))


@pytest.mark.parametrize("how", [{}, BINARY], ids=["float", "binary"])
def test_a_network_may_view_its_planes_as_a_vector(how):
    fitted = fit(Viewing(), blobs(shape=(2, 6, 6)), replace(CONFIG, epochs=1), 0, **how)
    assert len(fitted.history) == 1


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [v.clone() for v in model.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("how", [{}, BINARY], ids=["float", "binary"])
def test_one_seed_gives_the_same_bits_and_another_does_not(how):
    def run(seed: int) -> list[torch.Tensor]:
        return weights(fit(network(), blobs(), replace(CONFIG, epochs=3), seed, **how).quantized.model)

    first = run(1)
    torch.rand(3)
    assert same(first, run(1))
    assert not same(first, run(2))


@pytest.mark.parametrize("name", ["hq", "ste_msqe"])
def test_a_small_task_is_learned(name):
    data = blobs()
    fitted = fit(network(), data, CONFIG, 0, policy={"*": "bipolar"}, method=named_method(name))
    assert len(fitted.history) == CONFIG.epochs
    assert fitted.history[-1]["train/loss"] < fitted.history[0]["train/loss"]
    assert fitted.history[-1]["weights/within_1pct"] == 1
    for predicted in (fitted.before, answers(fitted.quantized.model, data.test.x, data)):
        assert (predicted == data.test.y).mean() > 0.9
    assert set(fitted.histograms) == set(fitted.quantized.weights) == {"0.weight", "3.weight"}


def test_a_float_training_has_no_codes():
    fitted = fit(network(), blobs(), CONFIG, 0)
    assert fitted.quantized.weights == {}
    assert set(fitted.history[0]) == {"train/loss", "val/accuracy"}


class Poison(Split):
    def __getattribute__(self, name):
        if name in ("x", "y", "take"):
            raise AssertionError("the test split was read")
        return super().__getattribute__(name)


def test_without_on_test_the_test_split_is_not_read():
    data = blobs()
    object.__setattr__(data, "test", Poison(data.test.x, data.test.y))
    fitted = fit(network(), data, replace(CONFIG, epochs=1), 0, on_test=False, **BINARY)
    assert fitted.before is None
    with pytest.raises(AssertionError, match="was read"):
        fit(network(), data, replace(CONFIG, epochs=1), 0, **BINARY)


def test_each_epoch_is_reported_when_it_ends():
    told = []
    fitted = fit(network(), blobs(), replace(CONFIG, epochs=3), 0, on_epoch=lambda n, log: told.append((n, log)))
    assert told == list(enumerate(fitted.history, 1))


def test_the_curve_reads_the_same_rows_every_time():
    data = blobs(metric="balanced_accuracy")
    config = replace(CONFIG, epochs=2, eval_rows=7)
    fitted = fit(network(), data, config, 0)
    assert all(0 <= log["val/balanced_accuracy"] <= 1 for log in fitted.history)


def test_a_training_that_diverges_is_an_error():
    model = network()
    with torch.no_grad():
        model[3].bias[0] = float("inf")
    with pytest.raises(TrainingError, match="not finite"):
        fit(model, blobs(), CONFIG, 0)


class LateNan(nn.Module):
    """Its loss is finite, its gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(6, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w.abs().sqrt()


def test_weights_that_break_in_the_last_step_are_an_error():
    with pytest.raises(TrainingError, match="w holds values that are not finite"):
        fit(LateNan(), blobs(rows=20), replace(CONFIG, epochs=1), 0)


def test_a_policy_that_does_not_fit_stops_before_the_first_epoch():
    told = []
    with pytest.raises(ConfigError, match="matches no weight matrix"):
        fit(
            network(),
            blobs(),
            CONFIG,
            0,
            policy={"fc9*": "int8"},
            method=BINARY["method"],
            on_epoch=lambda *a: told.append(a),
        )
    assert told == []


def test_a_policy_without_a_method_is_refused():
    with pytest.raises(ConfigError, match="a method is needed"):
        fit(network(), blobs(), CONFIG, 0, policy={"*": "bipolar"})


def test_the_statistics_are_those_of_the_rounded_weights():
    data = blobs()
    fitted = fit(network(), data, CONFIG, 0, policy={"*": "odd2"}, method=named_method("ste_msqe"))
    model = fitted.quantized.model
    x = torch.from_numpy(data.train.x).float() * data.input.scale
    with torch.no_grad():
        assert torch.allclose(model[1].running_mean, model[0](x).mean(dim=0), atol=1e-4)
    assert np.isfinite(answers(model, data.val.x, data)).all()
