"""One layer in one direction is what torch computes, and its integers are within one step of that."""

import numpy as np
import pytest
import torch
from torch import nn

from bitq.data.dataset import InputSpec
from bitq.ir.ops import Recurrent
from bitq.ir.reference import values
from bitq.lowering.lower import lower
from bitq.lowering.recurrence import Recurrence, Where
from bitq.quant.config import MethodConfig
from bitq.quant.quantizer import Quantizer
from tests.networks import ROUND_ONLY

CELLS = {
    "tanh": lambda width: nn.RNN(5, width, batch_first=True),
    "relu": lambda width: nn.RNN(5, width, nonlinearity="relu", batch_first=True),
    "gru": lambda width: nn.GRU(5, width, batch_first=True),
    "gru without bias": lambda width: nn.GRU(5, width, bias=False, batch_first=True),
    "lstm": lambda width: nn.LSTM(5, width, batch_first=True),
}
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)


class Whole(nn.Module):
    def __init__(self, cell, width):
        super().__init__()
        self.rnn = CELLS[cell](width)

    def forward(self, x):
        return self.rnn(x)[0]


@EVERY_CELL
@pytest.mark.parametrize("reverse", [False, True])
@torch.no_grad()
def test_it_computes_what_torch_does(cell, reverse):
    torch.manual_seed(0)
    owner, x = CELLS[cell](7), torch.randn(4, 5, 9)
    flipped = x.flip(2) if reverse else x
    expected = owner(flipped.transpose(1, 2))[0].transpose(1, 2)
    expected = expected.flip(2) if reverse else expected
    if reverse:
        for name, parameter in list(owner.named_parameters()):
            setattr(owner, f"{name}_reverse", parameter)
    whole = Recurrence(owner, Where("rnn", 0, reverse, None))
    torch.testing.assert_close(whole(x), expected)
    torch.testing.assert_close(Recurrence(owner, Where("rnn", 0, reverse, -2))(x), expected[:, :, -2])
    assert whole.out_reach == pytest.approx(float(expected.abs().max()))


@EVERY_CELL
@pytest.mark.parametrize("width", [6, 32])
@pytest.mark.parametrize(("book", "scale"), [("int8", "channel"), ("odd2", "tensor"), ("bipolar", "gate")])
def test_every_step_is_within_one_step_of_the_rounded_real_output(cell, width, book, scale):
    torch.manual_seed(0)
    model, spec = Whole(cell, width), InputSpec((40, 5), 1 / 40, 3, channels_last=True)
    x = np.random.default_rng(0).normal(0, 40, (200, 40, 5)).clip(-128, 127).astype(np.int8)
    real = (torch.from_numpy(x).float() - 3) / 40
    method = MethodConfig(**{**ROUND_ONLY.__dict__, "scale": scale})
    graph = lower(Quantizer(model, {"*": book}, method).finish(), real, spec, classify=False)
    op = next(op for op in graph.ops if isinstance(op, Recurrent))
    with torch.no_grad():
        truth = np.rint(model(real).numpy() / op.out.scale)
    got = values(graph, x)[op.name][:, 0]
    assert np.abs(got - truth.clip(op.out.dtype.low, op.out.dtype.high)).max() <= 1
