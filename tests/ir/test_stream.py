"""The graph of one step, and what cannot be run step by step."""

import numpy as np
import pytest
import torch
from torch import nn

import bitq
from bitq.core.errors import DeployError
from bitq.ir.stream import stream_of
from bitq.quant.quantizer import Quantizer
from tests.networks import ROUND_ONLY


class Network(nn.Module):
    """Convolutions in order, a recurrent module, and a head on what ``read`` takes of it."""

    def __init__(self, *before, rnn=None, read=lambda out: out[:, -1], width=5, codebook="odd4"):
        super().__init__()
        self.codebook = codebook
        self.before = nn.Sequential(*before)
        self.rnn = rnn or nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(width, 3)
        self.read = read

    def forward(self, x):
        return self.head(self.read(self.rnn(self.before(x).transpose(1, 2))[0]))


def lowered(model, time=40):
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.4)
    x = torch.from_numpy(np.random.default_rng(0).integers(-128, 128, (100, 3, time))) / 64
    return bitq.lower(Quantizer(model, {"*": model.codebook}, ROUND_ONLY).finish(), x, name="net")


def test_a_step_reads_what_its_convolutions_span():
    graph = lowered(Network(nn.Conv1d(3, 4, 5, 2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 4, 3, dilation=2)))
    stream = stream_of(graph, 4)
    # 3 taps 2 apart span 5 places, 10 before pooling by 2, and these 9 · 2 + 5 samples.
    assert (stream.samples, stream.stride, stream.every) == (23, 4, 1)
    assert stream.graph.input.shape == (1, 23, 3)
    assert {op.out.shape[1] for op in stream.graph.ops if op.name == "before_3"} == {1}


@pytest.mark.parametrize(("hop", "every", "first"), [(2, 1, 1), (4, 2, 2), (10, 5, 3), (100, 50, 18)])
def test_a_class_falls_on_the_end_of_the_window(hop, every, first):
    graph = lowered(Network(nn.Conv1d(3, 4, 5, 2)))  # 18 steps
    stream = stream_of(graph, hop)
    assert (stream.every, stream.first) == (every, first)
    assert (18 - stream.first) % stream.every == 0


@pytest.mark.parametrize(
    ("model", "hop", "says"),
    [
        (Network(nn.Conv1d(3, 4, 5, 2)), 3, "a hop of 3 samples; allowed: multiples of 2"),
        (Network(nn.Conv1d(3, 4, 5, padding=2)), 1, r"layer before\.0 cannot stream: it pads"),
        (Network(nn.Conv1d(3, 4, 1, 2)), 2, "its strides leave out samples"),
        (
            Network(nn.Conv1d(3, 4, 3), rnn=nn.GRU(4, 5, batch_first=True, bidirectional=True), width=10),
            1,
            "layer rnn cannot stream: it reads later steps",
        ),
        (Network(nn.Conv1d(3, 4, 3), read=lambda out: out[:, 3]), 1, "layer rnn cannot stream: it reads later steps"),
        (Network(nn.Conv1d(3, 4, 3), read=lambda out: out.mean(1)), 1, "cannot stream: it reads more than one step"),
        (
            Network(nn.Conv1d(3, 4, 3), read=lambda out: out.flatten(1), width=190),
            1,
            "cannot stream: it reads more than one step",
        ),
    ],
)
def test_what_needs_more_than_the_past_is_refused_by_name(model, hop, says):
    with pytest.raises(DeployError, match=says):
        stream_of(lowered(model), hop)


def test_a_network_without_a_recurrent_layer_is_refused():
    graph = bitq.lower(
        Quantizer(nn.Sequential(nn.Flatten(), nn.Linear(120, 3)), {"*": "int8"}, ROUND_ONLY).finish(),
        torch.randn(50, 3, 40),
    )
    with pytest.raises(DeployError, match="it has no recurrent layer"):
        stream_of(graph, 1)
