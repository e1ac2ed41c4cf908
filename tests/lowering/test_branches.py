from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from bitq.core.errors import DeployError
from bitq.ir.ops import Add, Mul, SquaredError
from bitq.ir.reference import evaluate
from bitq.lowering.lower import lower
from bitq.quant.quantizer import Quantizer
from tests.lowering.alone import Call, InputSpec, inputs, lowered, steps_apart
from tests.networks import ROUND_ONLY

JOINED = [
    (lambda x: x + x.flip(2), (3, 8)),
    (lambda x: x - 0.5 * x.flip(2), (3, 8)),
    (lambda x: torch.relu(x - x.flip(2)), (3, 8)),
    (lambda x: x * x.flip(2), (3, 8)),
    (lambda x: x * x.mean(2, keepdim=True), (3, 8)),
    (lambda x: torch.sigmoid(x.mean((2, 3), keepdim=True)) * x, (3, 4, 5)),
    (lambda x: x * torch.sigmoid(x.mean(1, keepdim=True)), (3, 4, 5)),
    (lambda x: x * x.mean((1, 2, 3), keepdim=True), (3, 4, 5)),
    (lambda x: x * torch.tanh(x), (7,)),
    (lambda x: x * x.mean(1, keepdim=True), (7,)),
    (lambda x: torch.cat([x, -x], 1), (3, 8)),
]


@pytest.mark.parametrize("case", range(len(JOINED)))
def test_two_branches_together_are_within_one_step_of_what_they_read(case):
    call, shape = JOINED[case]
    # A gate of 8 bits is itself rounded.
    assert steps_apart(Call(call), shape) <= 2


def test_a_squeeze_and_excite_gate():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3)
            self.narrow, self.widen = nn.Linear(4, 2), nn.Linear(2, 4)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            gate = torch.sigmoid(self.widen(torch.relu(self.narrow(x.mean((2, 3))))))
            return x * gate.view(gate.size(0), 4, 1, 1)

    graph, *_ = lowered(Gated(), (2, 6, 6))
    assert [type(op) for op in graph.ops].count(Mul) == 1
    assert steps_apart(Gated(), (2, 6, 6)) <= 4  # five layers, each rounded


def whole(model, shape, *, classify=True):
    torch.manual_seed(0)
    spec = InputSpec(shape, 1 / 32, 0)
    x, real = inputs(shape, spec)
    graph = lower(Quantizer(model.eval(), {"*": "int8"}, ROUND_ONLY).finish(), real, spec, classify=classify)
    with torch.no_grad():
        return graph, np.moveaxis(x, 1, -1) if x.ndim > 2 else x, model(real)


class Auto(nn.Module):
    def __init__(self, width=20, form=0):
        super().__init__()
        self.narrow, self.widen, self.form = nn.Linear(width, 6), nn.Linear(6, width), form

    def forward(self, x):
        y = self.widen(torch.relu(self.narrow(x)))
        match self.form:
            case 0:
                return ((y - x) ** 2).mean(1, keepdim=True)
            case 1:
                return (x - y).square().mean(dim=1)
            case 2:
                return y, (x - y).pow(2).mean(dim=1)


@pytest.mark.parametrize("form", [0, 1])
def test_a_reconstruction_error_written_in_the_forward_pass_is_one_operation(form):
    graph, x, truth = whole(Auto(form=form), (20,), classify=False)
    kinds = [type(op) for op in graph.ops]
    assert kinds.count(SquaredError) == 1
    assert not {Add, Mul} & set(kinds)
    scores = evaluate(graph, x).scores[:, 0] * graph.ops[-1].out.scale
    np.testing.assert_allclose(scores, truth.numpy().ravel(), rtol=0.02)


class Many(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.body, self.kind, self.level, self.form = nn.Linear(6, 8), nn.Linear(8, 4), nn.Linear(8, 2), form

    def forward(self, x):
        x = torch.tanh(self.body(x))
        kind, level = self.kind(x), self.level(x)
        match self.form:
            case "tuple":
                return kind, level
            case "dict":
                return {"kind": kind.softmax(1), "level": level, "features": x}
            case "argmax":
                return kind.argmax(dim=1)
            case "twice":
                return kind, kind
            case _:
                return kind, 3


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_several_outputs_come_one_after_the_other(form):
    graph, x, truth = whole(Many(form), (6,))
    truth = list(truth.values()) if form == "dict" else list(truth)
    types, scores = graph.types(), evaluate(graph, x)
    sizes = [types[name].size for name in graph.outputs]
    assert sizes == [4, 2, 8][: len(truth)]
    assert (scores.winners == scores.scores[:, :4].argmax(axis=1)).all()
    assert (scores.winners == truth[0].argmax(1).numpy()).mean() >= 0.99
    level = scores.scores[:, 4:6] * types[graph.outputs[1]].scale
    assert np.abs(level - truth[1].numpy()).max() < 0.05 * truth[1].abs().max()


def test_an_argmax_at_the_end_is_the_winner():
    graph, x, truth = whole(Many("argmax"), (6,))
    assert (evaluate(graph, x).winners == truth.numpy()).mean() >= 0.99


@pytest.mark.parametrize(("form", "says"), [("twice", "returns a value twice"), ("number", "returns int")])
def test_outputs_that_are_none_are_refused(form, says):
    with pytest.raises(DeployError, match=says):
        whole(Many(form), (6,))


def test_two_inputs_are_refused_by_name():
    class Two(nn.Module):
        def forward(self, left, right):
            return left + right

    with pytest.raises(DeployError, match=r"Two reads 2 inputs \(left, right\)"):
        lower(Quantizer(nn.Sequential(nn.Linear(2, 2)), {"*": "int8"}, ROUND_ONLY).finish().__class__(Two(), {}),
              torch.zeros(4, 6), InputSpec((6,), 1.0, 0))  # fmt: skip


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: x * x[:, :1, :, :1], r"multiplies .*a gate has the same shape"),
        (lambda x: x * torch.ones(5), "a constant of shape"),
    ],
)
def test_what_is_not_covered_says_why(call, says):
    with pytest.raises((DeployError, RuntimeError), match=says):
        lowered(Call(call), (3, 4, 5))


class Named(NamedTuple):
    label: torch.Tensor
    more: list


@dataclass
class Held:
    label: torch.Tensor
    more: list


@pytest.mark.parametrize("holder", [Named, Held])
def test_what_holds_several_outputs_is_gone(holder):
    class Holding(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            steps, _ = self.rnn(x)
            return holder(label=self.head(steps[:, -1]), more=[steps])

    torch.manual_seed(0)
    real = torch.randint(-128, 128, (200, 5, 3)) / 64
    quantized = Quantizer(Holding().eval(), {"*": "int8"}, ROUND_ONLY).finish()
    graph = lower(quantized, real, InputSpec((5, 3), 1 / 64, 0, channels_last=True))
    scores = evaluate(graph, (real * 64).numpy().astype(np.int8)).scores
    with torch.no_grad():
        held = quantized.model(real)
    pairs = ((scores[:, :2], held.label), (scores[:, 2:], held.more[0]))
    for name, (made, truth) in zip(graph.outputs, pairs, strict=True):
        assert np.abs(made * graph.types()[name].scale - truth.flatten(1).numpy()).max() < 0.03
