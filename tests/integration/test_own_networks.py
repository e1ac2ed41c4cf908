"""Networks as people write them, named on the command line: they run, or are refused before any training."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor, nn

from bitq.config import ExperimentConfig, compose
from bitq.core.errors import ConfigError
from bitq.core.registry import Entry
from bitq.data.load import load
from bitq.experiment import Job, run_job
from bitq.nn.config import MODELS, MlpConfig
from bitq.rehearsal import check_variants

Forward = Callable[[nn.Module, Tensor], object]


class Own(nn.Module):
    """A few layers for images of 8 by 8, and whatever somebody does with them."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.steps = forward
        self.conv, self.norm, self.gate = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 4)
        self.wide, self.vector = nn.Linear(64, 10), nn.LayerNorm(64)
        self.last_conv = nn.Conv2d(4, 4, 3)
        if "out" in forward.__code__.co_names:  # only a layer that runs learns its width
            self.out = nn.LazyLinear(10)

    def forward(self, x: Tensor) -> object:
        return self.steps(self, x)


def residual_and_view(own, x):
    x = F.relu(own.norm(own.conv(x)))
    x = F.max_pool2d(torch.clamp(x + own.conv(x[:, :1]), 0, 6), 2)
    return own.out(x.view(x.size(0), -1))


def squeeze_and_excite(own, x):
    x = torch.cat([F.relu(own.conv(x)), own.conv(x)], dim=1)[:, :4]
    batch, channels, _, _ = x.shape
    gate = torch.sigmoid(own.gate(F.adaptive_avg_pool2d(x, 1).view(batch, channels)))
    return own.out(torch.flatten(own.last_conv(x * gate.view(batch, channels, 1, 1)), 1))


def shared_and_dropped(own, x):
    x = F.relu(own.last_conv(F.relu(own.last_conv(own.conv(x)))))
    return own.out(F.dropout(x, 0.2, own.training).flatten(1))


@pytest.fixture
def data():
    return load(compose(["experiment=digits"]).data)


@pytest.fixture
def experiment(monkeypatch):
    """Return what makes the experiment of a network, as a plugin registers one."""

    def make(forward: Forward) -> ExperimentConfig:
        monkeypatch.setitem(MODELS._entries, "mlp", Entry(MlpConfig, lambda *_: Own(forward)))
        return compose(["experiment=digits", "train.epochs=1"])

    return make


@pytest.mark.parametrize("forward", [residual_and_view, squeeze_and_excite, shared_and_dropped])
def test_an_ordinary_network_goes_all_the_way(experiment, data, tmp_path, forward):
    config = experiment(forward)
    check_variants(config, data)
    trained = run_job(data, Job(config, "hybrid", 0, tmp_path))
    assert trained.graph is not None
    assert trained.test > 0.05


@pytest.mark.parametrize(
    ("forward", "says"),
    [
        (lambda own, x, y: own.wide(x + y), r"Own fails on rows of \(1, 8, 8\) \(TypeError: .*takes one tensor"),
        (lambda own, x: own.wide(x), r"Own fails on rows of \(1, 8, 8\) \(RuntimeError: mat1"),
        (lambda own, x: {"scores": own.wide(x.flatten(1))}, "Own gives a dict"),
        (lambda own, x: own.gate(x[:, 0, :2, :2].flatten(1)), r"gives \(2, 4\) for 2 rows; .* needs \(2, 10\)"),
        (lambda own, x: own.wide(own.vector(x.flatten(1))), "model mlp: layer 'vector' .LayerNorm.*BatchNorm1d"),
        (lambda own, x: own.wide(x.flatten(1) if x.sum() != 123 else x), "cannot be traced.*not branch or assert on"),
        (lambda own, x: x.flatten(1) @ own.wide.weight.T, "computed of parameters alone, is read.*nn.Linear"),
    ],
)
def test_what_cannot_be_is_refused_before_training(experiment, data, forward, says):
    with pytest.raises(ConfigError, match=says):
        check_variants(experiment(forward), data)


def test_samples_one_by_one_are_refused_before_training_where_nothing_keeps_a_state(data):
    with pytest.raises(ConfigError, match=r"target\.hop: graph 'int8' cannot stream: it has no recurrent layer"):
        check_variants(compose(["experiment=digits", "target.hop=5"]), data)
    with pytest.raises(ConfigError, match=r"target\.hop: trees .* keep no state; set target\.hop=null"):
        check_variants(compose(["experiment=digits", "model=forest", "target.hop=5"]), data)


def test_what_is_no_module_is_refused(experiment, data, monkeypatch):
    config = experiment(residual_and_view)
    monkeypatch.setitem(MODELS._entries, "mlp", Entry(MlpConfig, lambda *_: len))
    with pytest.raises(ConfigError, match="it builds a builtin_function_or_method; a torch"):
        check_variants(config, data)
