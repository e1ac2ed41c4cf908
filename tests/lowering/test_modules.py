"""Every row of the table of modules, alone: at most one output step from the rounded float result.

The float result is torch's with the same integers as input and the same weights. A layer's bias is a whole number of
accumulator units, so this holds while a unit is at most one and a half output steps; few taps of few bits on inputs
that leave most of their range unused come close to that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from bitq.data.dataset import InputSpec
from bitq.ir.ops import Recurrent, SquaredError
from bitq.ir.reference import evaluate, values
from bitq.ir.types import INT8, UINT8
from bitq.lowering import standins as own
from bitq.lowering.heads import MeanSquaredError
from bitq.lowering.imports.roundings import Quantize
from bitq.lowering.lower import lower
from bitq.lowering.modules import MODULES
from bitq.lowering.recurrence import Recurrence, Where
from bitq.lowering.sequences import Turn
from bitq.lowering.trace import trace
from bitq.quant.quantizer import Quantizer
from tests.lowering.alone import Call, assert_moves, inputs, steps_apart
from tests.networks import ROUND_ONLY

F, S, P = (7,), (4, 12), (4, 6, 5)  # features, a sequence, a picture
BOOKS = ("int8", "odd4", "odd3", "odd2", "ternary", "bipolar")


@dataclass(frozen=True)
class Alone:
    """A module with the shape of its input without the batch."""

    module: nn.Module
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.module} {self.shape}".replace("\n", "")


def normed(layer: nn.Module, norm: nn.Module, *tail: nn.Module) -> nn.Module:
    """Return a layer with a norm behind it whose channels differ in sign and size."""
    channels = len(norm.weight)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-1, 2, channels))
        norm.bias.copy_(torch.linspace(0.5, -2, channels))
        norm.running_mean.copy_(torch.linspace(-1, 1, channels))
        norm.running_var.copy_(torch.linspace(0.3, 3, channels))
    return nn.Sequential(layer, norm, *tail)


def prelu(channels: int) -> nn.PReLU:
    """Return slopes that differ."""
    module = nn.PReLU(channels)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(-0.5, 1.5, channels))
    return module


class Constant(nn.Module):
    """``x · gain + offset``, one of each per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor([0.5, -1.0, 2.0, 0.1]).reshape(4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gain + 1


class Steps(nn.Module):
    """A dense layer at each step of what a recurrent layer gives."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.dense = nn.RNN(4, 3, batch_first=True), nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(self.rnn(x)[0])


class Whole(nn.Module):
    """All steps of a recurrent module."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


class Auto(nn.Module):
    """The error of a reconstruction."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.error = nn.Linear(7, 7), MeanSquaredError()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.error(self.dense(x), x)


def on(shape: tuple[int, ...], *modules: nn.Module | Callable[[torch.Tensor], torch.Tensor]) -> list[Alone]:
    """Return modules, or functions, that read one shape."""
    return [Alone(module if isinstance(module, nn.Module) else Call(module), shape) for module in modules]


def each(*modules: nn.Module) -> list[Alone]:
    """Return modules that take values of any shape."""
    return [Alone(module, shape) for module in modules for shape in (F, S, P)]


CASES: dict[type[nn.Module], list[Alone]] = {
    nn.Linear: [
        *on(F, nn.Linear(7, 5), nn.Linear(7, 5, bias=False), nn.Sequential(nn.Linear(7, 5), nn.ReLU())),
        *on(S, nn.Linear(12, 5)),
    ],
    nn.Conv1d: on(
        S,
        nn.Conv1d(4, 5, 3),
        nn.Conv1d(4, 5, 1, bias=False),
        nn.Conv1d(4, 5, 3, stride=2, padding=1),
        nn.Conv1d(4, 5, 4, padding="same"),
        nn.Conv1d(4, 5, 3, padding="same", dilation=2),
        nn.Conv1d(4, 5, 3, padding="valid", dilation=3),
        nn.Conv1d(4, 6, 3, groups=2),
        nn.Conv1d(4, 4, 5, padding=2, groups=4),
        nn.Conv1d(4, 8, 3, groups=4),
        nn.Sequential(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(4, 5, 3, dilation=2)),
    ),
    nn.Conv2d: on(
        P,
        nn.Conv2d(4, 5, 3),
        nn.Conv2d(4, 5, 1),
        nn.Conv2d(4, 5, (2, 3), stride=(1, 2), padding=(0, 1)),
        nn.Conv2d(4, 5, (4, 3), padding="same"),
        nn.Conv2d(4, 5, 3, padding=2, dilation=(1, 2)),
        nn.Conv2d(4, 6, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Sequential(nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(4, 5, 3, stride=2)),
    ),
    nn.BatchNorm1d: [
        *on(F, normed(nn.Linear(7, 5), nn.BatchNorm1d(5)), normed(nn.Identity(), nn.BatchNorm1d(7))),
        *on(S, normed(nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5)), normed(nn.Identity(), nn.BatchNorm1d(4))),
    ],
    nn.BatchNorm2d: on(
        P,
        normed(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)),
        normed(nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        normed(nn.Identity(), nn.BatchNorm2d(4)),
    ),
    nn.ReLU: each(nn.ReLU()),
    nn.ReLU6: each(nn.ReLU6()),
    nn.Hardtanh: each(nn.Hardtanh(-0.7, 2.2)),
    nn.LeakyReLU: each(nn.LeakyReLU(0.1), nn.LeakyReLU(-0.3)),
    nn.PReLU: [*each(nn.PReLU()), Alone(prelu(7), F), Alone(prelu(4), S), Alone(prelu(4), P)],
    nn.RReLU: each(nn.RReLU()),
    nn.Hardsigmoid: each(nn.Hardsigmoid()),
    nn.Hardswish: each(nn.Hardswish()),
    nn.Sigmoid: each(nn.Sigmoid()),
    nn.Tanh: each(nn.Tanh()),
    nn.SiLU: each(nn.SiLU()),
    nn.GELU: each(nn.GELU(), nn.GELU("tanh")),
    nn.Softplus: each(nn.Softplus(), nn.Softplus(3.0)),
    nn.Softsign: each(nn.Softsign()),
    nn.LogSigmoid: each(nn.LogSigmoid()),
    nn.ELU: each(nn.ELU(), nn.ELU(0.4)),
    nn.CELU: each(nn.CELU(0.7)),
    nn.SELU: each(nn.SELU()),
    nn.Mish: each(nn.Mish()),
    own.Curve: each(own.Curve(torch.erf), own.Curve(torch.pow, 3)),
    nn.MaxPool1d: on(S, nn.MaxPool1d(2), nn.MaxPool1d(3, 2, 1), nn.MaxPool1d(5, 4, ceil_mode=True)),
    nn.MaxPool2d: on(P, nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((3, 2), (1, 2), ceil_mode=True)),
    own.PaddedMax: [*on(S, own.PaddedMax([3], [2], [2], [0])), *on(P, own.PaddedMax([3, 2], [1, 2], [0, 1], [2, 0]))],
    nn.AvgPool1d: on(S, nn.AvgPool1d(2), nn.AvgPool1d(3, 1, 1)),
    nn.AvgPool2d: on(P, nn.AvgPool2d(2), nn.AvgPool2d((3, 2), (1, 2), (1, 0))),
    nn.AdaptiveAvgPool1d: on(S, nn.AdaptiveAvgPool1d(1), nn.AdaptiveAvgPool1d(3)),
    nn.AdaptiveAvgPool2d: on(P, nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d((3, None))),
    nn.AdaptiveMaxPool1d: on(S, nn.AdaptiveMaxPool1d(1), nn.AdaptiveMaxPool1d(4)),
    nn.AdaptiveMaxPool2d: on(P, nn.AdaptiveMaxPool2d(1), nn.AdaptiveMaxPool2d((2, 5))),
    nn.ZeroPad1d: on(S, nn.ZeroPad1d((2, 1))),
    nn.ZeroPad2d: on(P, nn.ZeroPad2d((1, 0, 2, 1))),
    nn.ConstantPad1d: on(S, nn.ConstantPad1d((2, 0), 1.5)),
    nn.ConstantPad2d: on(P, nn.ConstantPad2d((1, 0, 2, 1), -0.7)),
    nn.Flatten: on(P, nn.Flatten(), nn.Flatten(2)),
    nn.Unflatten: on((12,), nn.Unflatten(1, (2, 3, 2)), nn.Unflatten(1, (4, 3))),
    nn.ChannelShuffle: on(P, nn.ChannelShuffle(2)),
    own.Reshape: on(P, lambda x: x.view(x.size(0), -1), lambda x: x.reshape(-1, 8, 15)),
    own.Rearranged: [
        *on(S, lambda x: x.transpose(1, 2), lambda x: x[:, 1:3, ::2], lambda x: x[:, :, -1], lambda x: x.flip(2)),
        *on(P, lambda x: x.permute(0, 2, 3, 1), lambda x: x[..., 1:-1], lambda x: x.chunk(2, 1)[1]),
    ],
    own.Mean: [
        *on(P, lambda x: x.mean((2, 3)), lambda x: x.mean(1, keepdim=True), lambda x: x.mean((1, 2, 3)).unsqueeze(1)),
        *on(S, lambda x: x.mean(2), lambda x: x.mean(-1, keepdim=True)),
    ],
    own.Sum: [*on(S, lambda x: x.sum(2)), *on(P, lambda x: x.sum((2, 3), keepdim=True))],
    own.Most: [*on(S, lambda x: x.amax(2)), *on(P, lambda x: x.amax((2, 3), keepdim=True))],
    own.Plus: [*on(S, lambda x: x + x.flip(2), lambda x: (x + x.flip(2)).relu()), *on(F, lambda x: x + x.flip(1))],
    own.Minus: on(S, lambda x: x - x.flip(2), lambda x: torch.relu(x - x.flip(2))),
    own.Times: [
        *on(S, lambda x: x * x.flip(2), lambda x: x * x[:, :, :1], lambda x: x * x[:, :1]),
        *on(P, lambda x: x * x[:, :, :1, :1], lambda x: x * x[:, :1], lambda x: x * x[:, :1, :1, :1]),
    ],
    own.Affine: on(S, lambda x: 2 - x, lambda x: x / -7, lambda x: x * -0.3, Constant()),
    own.Square: each(Call(lambda x: x.square())),
    own.Join: [*on(S, lambda x: torch.cat([x, -x], 1)), *on(P, lambda x: torch.cat([x.relu(), x[:, :2]], 1))],
    Quantize: on(S, Quantize(1 / 31, 3, INT8, -128, 127), Quantize(1 / 40, 100, UINT8, 2, 250)),
}
"""By the row that they are for; what a call in the forward pass stands for is found as the row that it becomes."""


def recurrent(rnn: nn.RNNBase, book: str = "int8") -> None:
    """Hold every step of each layer in each direction against torch on what that layer reads."""
    spec = InputSpec((20, 4), 1 / 40, 3, channels_last=True)
    x = np.random.default_rng(0).normal(0, 40, (200, *spec.shape)).clip(-128, 127).astype(np.int8)
    model = Whole(rnn)
    real = (torch.from_numpy(x).float() - spec.zero_point) * spec.scale
    graph = lower(Quantizer(model, {"*": book}, ROUND_ONLY).finish(), real, spec, classify=False)
    types, integers = graph.types(), values(graph, x)
    layers = [op for op in graph.ops if isinstance(op, Recurrent)]
    assert len(layers) == rnn.num_layers * (1 + rnn.bidirectional)
    for number, op in enumerate(layers):
        read, kind = integers[op.inputs[0]], types[op.inputs[0]]
        sequence = torch.from_numpy((read - kind.zero_point) * kind.scale).float().reshape(len(x), -1, kind.shape[-1])
        layer, reverse = divmod(number, 1 + rnn.bidirectional)
        with torch.no_grad():
            truth = Recurrence(rnn, Where("rnn", layer, bool(reverse), None))(sequence.transpose(1, 2))
        steps = np.rint(truth.transpose(1, 2).numpy() / op.out.scale).clip(op.out.dtype.low, op.out.dtype.high)
        assert np.abs(integers[op.name].reshape(steps.shape) - steps).max() <= 1


def turned() -> None:
    """Hold the scores of a dense layer at each step against torch on the steps that it reads."""
    spec = InputSpec((12, 4), 1 / 40, 3, channels_last=True)
    x = np.random.default_rng(0).integers(-128, 128, (200, *spec.shape)).astype(np.int8)
    model = Steps()
    real = (torch.from_numpy(x).float() - spec.zero_point) * spec.scale
    graph = lower(Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish(), real, spec, classify=False)
    types, integers = graph.types(), values(graph, x)
    dense = graph.ops[-1]
    read, kind = integers[dense.inputs[0]], types[dense.inputs[0]]
    with torch.no_grad():
        truth = model.dense.double()(torch.from_numpy((read - kind.zero_point) * kind.scale)).numpy()
    # Scores have finer steps than any activation: 8 bits would be 1/127 of the largest.
    assert np.abs(integers[dense.name] * dense.out.scale - truth).max() <= np.abs(truth).max() / 1000


def error() -> None:
    """Hold the sum of squares against the integers that it compares."""
    spec = InputSpec(F, 1 / 20, -3)
    x, real = inputs(F, spec)
    model = Auto()
    graph = lower(Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish(), real, spec, classify=False)
    last, made = graph.ops[-1], values(graph, x)
    assert isinstance(last, SquaredError)
    wanted = ((made[last.inputs[0]] - x.astype(np.int64)) ** 2).sum(axis=1)
    np.testing.assert_array_equal(made[last.name][:, 0], wanted)
    with torch.no_grad():
        steps = np.rint(model.dense.double()(real.double()).numpy() / spec.scale) + spec.zero_point
    assert np.abs(made[last.inputs[0]] - steps.clip(-127, 127)).max() <= 1


def dropped(last: nn.Module) -> None:
    """Hold the winner against torch, and the scores against what torch gives to the softmax."""
    spec = InputSpec(F, 1 / 20, -3)
    x, real = inputs(F, spec)
    model = nn.Sequential(nn.Linear(7, 5), last)
    graph = lower(Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish(), real, spec)
    got, scale = evaluate(graph, x), graph.types()[graph.outputs[0]].scale
    with torch.no_grad():
        scores = model[0].double()(real.double()).numpy()
        winners = model.double()(real.double()).argmax(1).numpy()
    assert np.abs(got.scores * scale - scores).max() <= max(scale, np.abs(scores).max() / 1000)
    assert (got.winners == winners).mean() >= 0.99


OTHERWISE: dict[type[nn.Module], list[Callable[[], None]]] = {
    Recurrence: [
        lambda: recurrent(nn.RNN(4, 6, batch_first=True)),
        lambda: recurrent(nn.RNN(4, 6, nonlinearity="relu", num_layers=2, batch_first=True, bidirectional=True)),
        lambda: recurrent(nn.GRU(4, 6, num_layers=2, batch_first=True, bidirectional=True)),
        lambda: recurrent(nn.GRU(4, 6, bias=False, batch_first=True), "bipolar"),
        lambda: recurrent(nn.LSTM(4, 6, num_layers=2, batch_first=True, bidirectional=True)),
        lambda: recurrent(nn.LSTM(4, 6, batch_first=True), "odd2"),
    ],
    Turn: [turned],
    MeanSquaredError: [error],
    nn.Softmax: [lambda: dropped(nn.Softmax(1))],
    nn.LogSoftmax: [lambda: dropped(nn.LogSoftmax(1))],
}
"""What stands at an end of a network, or reads a sequence."""

VANISH = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity)
MOVED = (nn.ZeroPad1d, nn.ZeroPad2d, nn.Flatten, nn.Unflatten, nn.ChannelShuffle, own.Reshape, own.Rearranged)
WEIGHED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)


def test_every_row_of_the_table_is_held_against_torch():
    assert {*CASES, *OTHERWISE, *VANISH} == set(MODULES)
    for kind, cases in CASES.items():
        assert cases
        for case in cases:
            used = {type(module) for module in trace(nn.Sequential(case.module)).modules()}
            assert kind in used, case


@pytest.mark.parametrize(
    ("kind", "case"),
    [(kind, case) for kind, cases in CASES.items() for case in cases],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_module_alone_is_within_one_step(kind: type[nn.Module], case: Alone) -> None:
    torch.manual_seed(0)
    if kind in MOVED:  # the layer behind may read the elements where they are
        assert_moves(case.module, case.shape)
        return
    for book in BOOKS if kind in WEIGHED else BOOKS[:1]:
        assert steps_apart(case.module, case.shape, book=book) <= 1, book


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, number) for kind, checks in OTHERWISE.items() for number in range(len(checks))],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_reads_or_gives_no_activation_is_within_one_step(kind: type[nn.Module], number: int) -> None:
    torch.manual_seed(0)
    OTHERWISE[kind][number]()


@pytest.mark.parametrize("kind", VANISH, ids=lambda kind: kind.__name__)
def test_what_does_nothing_vanishes(kind: type[nn.Module]) -> None:
    assert steps_apart(nn.Sequential(kind(), nn.ReLU()), P if kind is nn.Dropout2d else S) == 0
