"""What a forward pass sees of its sizes while it is traced."""

import pytest
import torch
from torch import nn

from bitq.lowering.tracer import Tracer


class Asked(nn.Module):
    """Asks a value for its sizes, and remembers the answer."""

    def __init__(self, ask):
        super().__init__()
        self.ask, self.fc, self.gain = ask, nn.Linear(5, 3), nn.Parameter(torch.ones(3))

    def forward(self, x, twice=False, *more, scale=1.0, **options):
        self.answer = self.ask(self.fc(x))
        assert not more, options
        return self.fc(x) * (2 if twice else scale)


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda x: x.shape[1:], (4, 3)),
        (lambda x: x.size()[-2:], (4, 3)),
        (lambda x: x.size(-1), 3),
        (lambda x: (x.dim(), x.ndim, len(x.shape)), (3, 3, 3)),
        (lambda x: x.dtype, torch.float32),
        (lambda x: len(x.split(1, dim=1)), 4),
        (lambda x: [part.shape[1:] for part in x.unbind(dim=1)], [(3,)] * 4),
        (lambda x: x.transpose(0, 2).shape[:2], (3, 4)),
        (lambda x: len(x.transpose(0, 1)), 4),
    ],
)
def test_sizes_are_numbers(ask, answer):
    model = Asked(ask)
    Tracer(torch.zeros(1, 4, 5)).trace(model)
    assert model.answer == answer


def test_the_size_of_the_batch_is_none():
    model = Asked(lambda x: (x.shape[0], x.size(0), x.transpose(0, 1).shape[1]))
    graph = Tracer(torch.zeros(1, 4, 5)).trace(model)
    assert all(isinstance(size, torch.fx.Proxy) for size in model.answer)
    assert [node.name for node in graph.nodes if node.op == "placeholder"] == ["x"]
    with pytest.raises(TypeError, match=r"write x\.shape\[0\]"):
        Tracer(torch.zeros(1, 4, 5)).trace(Asked(len))


def test_without_rows_every_size_is_open():
    model = Asked(lambda x: (x.shape, x.size(1), x.dim(), x.ndim, x.dtype))
    Tracer().trace(model)
    assert all(isinstance(size, torch.fx.Proxy) for size in model.answer)


def test_what_cannot_be_computed_leaves_sizes_open():
    model = Asked(lambda x: x.view(7, -1).shape)
    Tracer(torch.zeros(1, 4, 5)).trace(model)
    assert isinstance(model.answer, torch.fx.Proxy)


def test_the_trace_holds_the_layers_of_the_network_alone():
    graph = Tracer(torch.zeros(1, 4, 5)).trace(Asked(lambda x: x.shape))
    assert [node.target for node in graph.nodes if node.op == "call_module"] == ["fc", "fc"]
