"""Recurrent networks as people write them: the same integers however the axes are ordered and the steps are read."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

from bitq.core.errors import DeployError
from bitq.data.dataset import InputSpec
from bitq.ir.ops import Concat, Recurrent, View
from bitq.ir.reference import evaluate
from bitq.lowering.lower import lower, reads_channels_last
from bitq.quant.quantizer import Quantizer
from tests.networks import ROUND_ONLY

TIME, WIDTH = 12, 5


class Written(nn.Module):
    """A recurrent network whose forward pass is a function of it and its input ``(batch, time, channels)``."""

    def __init__(self, forward, kind=nn.GRU, head=WIDTH, **options):
        super().__init__()
        self.rnn = kind(3, WIDTH, **{"batch_first": True, **options})
        self.head = nn.Linear(head, 4)
        self.act = nn.ReLU()
        self.drop = nn.Dropout()
        self.read = forward

    def forward(self, x):
        return self.head(self.read(self, x))


def lowered(model, shape=(TIME, 3), *, channels_last=True):
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    x = np.random.default_rng(0).integers(-128, 128, (1000, *shape)).astype(np.int8)
    real = torch.from_numpy(x).float() / 64
    spec = InputSpec(shape, 1 / 64, 0, channels_last)
    graph = lower(Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish(), real, spec)
    with torch.no_grad():
        truth = model.eval()(real).numpy()
    outputs = evaluate(graph, x if channels_last else np.moveaxis(x, 1, -1))
    out = graph.types()[graph.outputs[0]]
    error = np.abs((outputs.scores - out.zero_point) * out.scale - truth).mean() / truth.std()
    assert error < 0.01, error
    assert (outputs.winners == truth.argmax(axis=1)).mean() >= 0.98
    return graph, outputs


def last(model, x):
    return model.rnn(x)[0][:, -1]


LAST = {
    "all axes": lambda m, x: m.rnn(x)[0][:, -1, :],
    "an ellipsis": lambda m, x: m.rnn(x)[0][..., -1, :],
    "select": lambda m, x: m.rnn(x)[0].select(1, -1),
    "the step's number": lambda m, x: m.rnn(x)[0][:, TIME - 1],
    "h_n": lambda m, x: m.rnn(x)[1][-1],
    "h_n of an only layer": lambda m, x: m.rnn(x)[1][0],
    "turned to and fro": lambda m, x: m.rnn(x.transpose(1, 2).permute(0, 2, 1))[0].transpose(1, 2)[:, :, -1],
    "a first state of zeros": lambda m, x: m.rnn(x, torch.zeros(1, x.size(0), WIDTH).to(x.device))[0][:, -1],
    "a first state made of the input": lambda m, x: m.rnn(x, x.new_zeros(1, x.shape[0], WIDTH))[0][:, -1],
    "dropout": lambda m, x: m.drop(m.rnn(x)[0])[:, -1],
}


@pytest.mark.parametrize("how", LAST)
def test_the_last_step_in_all_its_forms(how):
    graph, outputs = lowered(Written(LAST[how]))
    expected, truth = lowered(Written(last))
    assert [type(op) for op in graph.ops] == [type(op) for op in expected.ops]
    np.testing.assert_array_equal(outputs.scores, truth.scores)


def test_time_first_is_the_same():
    graph, outputs = lowered(Written(lambda m, x: m.rnn(x.permute(1, 0, 2))[0][-1], batch_first=False))
    np.testing.assert_array_equal(outputs.scores, lowered(Written(last))[1].scores)
    assert sum(isinstance(op, Recurrent) for op in graph.ops) == 1


def test_the_state_of_an_lstm():
    _, outputs = lowered(Written(lambda m, x: m.rnn(x)[1][0][-1], nn.LSTM))
    expected = lowered(Written(last, nn.LSTM))[1].scores
    np.testing.assert_array_equal(outputs.scores, expected)

    def from_zero(m, x):
        zero = torch.zeros(1, x.size(0), WIDTH)
        return m.rnn(x, (zero, torch.zeros_like(zero)))[0][:, -1]

    np.testing.assert_array_equal(lowered(Written(from_zero, nn.LSTM))[1].scores, expected)


def test_the_states_of_both_directions_are_their_last_ones():
    both = Written(
        lambda m, x: torch.cat([m.rnn(x)[1][i] for i in (-2, -1)], 1),
        head=2 * WIDTH,
        num_layers=2,
        bidirectional=True,
    )
    graph, _ = lowered(both)
    used = {op.name: op for op in graph.ops if isinstance(op, Recurrent)}
    top = [op for op in used.values() if op.pick is not None]
    assert sorted((op.reverse, op.pick) for op in top) == [(False, TIME - 1), (True, 0)]


def test_the_last_step_of_the_other_direction_needs_one_step():
    graph, _ = lowered(Written(last, head=2 * WIDTH, bidirectional=True))
    assert sorted(len(op.order(TIME)) for op in graph.ops if isinstance(op, Recurrent)) == [1, TIME]


@pytest.mark.parametrize(
    ("read", "options"),
    [
        (lambda m, x: m.rnn(x)[0].mean(1), {}),
        (lambda m, x: m.rnn(x)[0].sum(1), {}),
        (lambda m, x: m.rnn(x)[0].amax(1), {}),
        (lambda m, x: m.rnn(x)[0][:, 3:].mean(1), {}),
        (lambda m, x: m.rnn(x.transpose(1, 2)[:, :, 2:].transpose(1, 2))[0][:, -1], {}),
        (lambda m, x: torch.max(m.rnn(x)[0], dim=1)[0], {}),
        (lambda m, x: m.act(m.rnn(x)[0]).mean(dim=1), {}),
        (lambda m, x: torch.sigmoid(m.rnn(x)[0])[:, -2], {}),
        (lambda m, x: F.leaky_relu(m.rnn(x)[0] + m.act(m.rnn(x)[0])).select(1, 0), {}),
        (lambda m, x: m.rnn(x)[0].flatten(1), {"head": TIME * WIDTH}),
        (lambda m, x: m.rnn(x)[0].reshape(x.shape[0], -1), {"head": TIME * WIDTH}),
        (lambda m, x: m.rnn(x)[0].transpose(1, 2).mean(2), {}),
        (lambda m, x: (m.rnn(x)[0] + m.act(m.rnn(x)[0])).mean(1), {}),
        (lambda m, x: torch.cat([m.rnn(x)[0], m.rnn(x)[0]], 2).mean(1), {"head": 2 * WIDTH}),
    ],
)
def test_the_whole_sequence(read, options):
    lowered(Written(read, **options))


def test_a_step_and_the_whole_sequence_are_computed_once():

    def both(model, x):
        steps, last = model.rnn(x)
        return torch.cat([steps.mean(1), last[-1]], 1)

    graph, _ = lowered(Written(both, head=2 * WIDTH))
    assert sum(isinstance(op, Recurrent) for op in graph.ops) == 1
    assert sum(isinstance(op, View) for op in graph.ops) == 1


def test_scores_at_every_step():
    class Labels(Written):
        def forward(self, x):
            return self.head(self.rnn(x)[0])

    torch.manual_seed(0)
    model = Labels(last)
    x = torch.randint(-128, 128, (100, TIME, 3)) / 64
    spec = InputSpec((TIME, 3), 1 / 64, 0, channels_last=True)
    graph = lower(Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish(), x, spec, classify=False)
    out = graph.types()[graph.outputs[0]]
    assert out.shape == (1, TIME, 4)
    scores = evaluate(graph, (x * 64).numpy().astype(np.int8)).scores.reshape(-1, TIME, 4)
    with torch.no_grad():
        assert np.abs(scores * out.scale - model(x).numpy()).max() < 0.03


def test_a_convolution_before_and_the_input_of_a_watch():
    class Convolved(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.rnn, self.head = nn.Conv1d(3, 4, 3), nn.GRU(4, 6, batch_first=True), nn.Linear(6, 4)

        def forward(self, x):
            return self.head(self.rnn(torch.relu(self.conv(x)).transpose(1, 2))[0][:, -1])

    assert not reads_channels_last(Convolved(), torch.zeros(4, 3, TIME))
    assert reads_channels_last(Written(last), torch.zeros(4, TIME, 3))
    lowered(Convolved(), (3, TIME), channels_last=False)
    # The other order costs a transpose; in a square the two look alike.
    lowered(Convolved(), (3, TIME))
    lowered(Written(last), channels_last=False)
    lowered(Written(last), (3, 3), channels_last=False)


def test_directions_with_unlike_scales_meet():
    graph, _ = lowered(Written(last, nn.RNN, nonlinearity="relu", head=2 * WIDTH, bidirectional=True))
    assert sum(isinstance(op, Concat) for op in graph.ops) == 1


@pytest.mark.parametrize(
    ("read", "options", "says"),
    [
        (lambda m, x: m.rnn(x, x.new_ones(1, x.shape[0], WIDTH))[0][:, -1], {}, "'rnn'.*first state must be zero"),
        (last, {"kind": nn.LSTM, "proj_size": 2, "head": 2}, "'rnn'.*proj_size=2"),
        (last, {"batch_first": False}, r"'rnn'.*\(time, batch, features\) without"),
        (lambda m, x: m.rnn(x)[1][1][-1], {"kind": nn.LSTM}, "'rnn'.*cell states"),
        (lambda m, x: m.rnn(x)[1].mean(0), {}, "'rnn'.*'mean' reads its results.*h_n by an index"),
        (lambda m, x: m.rnn(x)[0].sort(1)[0][:, 0], {}, "'sort' in the forward pass"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(read, options, says):
    with pytest.raises(DeployError, match=says):
        lowered(Written(read, **options))


def test_a_matrix_in_float_is_refused_by_name():
    model = Written(last)
    rounded = Quantizer(model, {"*_ih_*": "int8", "head.weight": "int8"}, ROUND_ONLY).finish()
    with pytest.raises(DeployError, match=r"rnn\.weight_hh_l0 is not quantized"):
        lower(rounded, torch.randn(20, TIME, 3), InputSpec((TIME, 3), 1 / 64, 0, channels_last=True))
