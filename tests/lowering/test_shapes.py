import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

from bitq.core.errors import DeployError
from bitq.ir.ops import Conv, Dense, Flatten, Pad, Reshape, View
from tests.lowering.alone import Call, assert_moves, lowered, steps_apart

MOVES = [
    (nn.Flatten(), (2, 3, 4)),
    (nn.Flatten(2), (2, 3, 4)),
    (nn.Flatten(1, 2), (2, 3, 4)),
    (nn.Unflatten(1, (2, 3)), (6,)),
    (nn.Unflatten(1, (2, 3, 2)), (12,)),
    (nn.ChannelShuffle(2), (6, 3, 2)),
    (Call(lambda x: x.view(x.shape[0], -1)), (2, 3, 4)),
    (Call(lambda x: x.reshape(-1, 2, 12)), (2, 3, 4)),
    (Call(lambda x: x.view(x.size(0), 2, 12)), (2, 3, 4)),
    (Call(lambda x: x.permute(0, 2, 1)), (3, 5)),
    (Call(lambda x: x.transpose(1, 2).flatten(1)), (3, 5)),
    (Call(lambda x: x.permute(0, 2, 3, 1)), (2, 3, 4)),
    (Call(lambda x: x.transpose(1, 3)), (2, 3, 4)),
    (Call(lambda x: x.movedim(1, -1).reshape(x.size(0), -1)), (2, 3, 4)),
    (Call(lambda x: x[:, :, -1]), (3, 5)),
    (Call(lambda x: x[:, 1:3, ::2]), (4, 7)),
    (Call(lambda x: x[..., 1:-1]), (2, 4, 5)),
    (Call(lambda x: x[:, :, 1, :]), (2, 4, 5)),
    (Call(lambda x: x[:, None].squeeze(1)), (2, 5)),
    (Call(lambda x: x.unsqueeze(1)), (3, 5)),
    (Call(lambda x: x.select(2, 3)), (3, 5)),
    (Call(lambda x: x.narrow(1, 1, 2)), (3, 5)),
    (Call(lambda x: torch.flip(x, (2,))), (3, 5)),
    (Call(lambda x: torch.chunk(x, 2, 1)[1]), (4, 5)),
    (Call(lambda x: torch.cat([x.chunk(2, 1)[1], x.chunk(2, 1)[0]], 1)), (4, 5)),
    (Call(lambda x: x.split((1, 3), 1)[1]), (4, 5)),
    (Call(lambda x: x.view(x.size(0), 2, 3, 4, 2).transpose(1, 2).reshape(x.size(0), 6, 4, 2)), (6, 4, 2)),
    (Call(lambda x: x.view(x.size(0), 2, 3, 8).transpose(1, 2).flatten(1)), (6, 8)),
    (nn.ZeroPad2d((1, 0, 2, 1)), (2, 3, 4)),
    (nn.ConstantPad1d((2, 0), 1.5), (3, 5)),
    (Call(lambda x: F.pad(x, (1, 2))), (3, 5)),
    (Call(lambda x: F.pad(x, (1, 2, 0, 1), value=-1.0)), (2, 3, 5)),
]


@pytest.mark.parametrize("case", range(len(MOVES)))
def test_what_moves_is_moved_as_torch_does(case):
    module, shape = MOVES[case]
    assert_moves(module, shape)


def kinds(module, shape):
    return [type(op) for op in assert_moves(module, shape).ops]


def test_what_costs_nothing():
    twice = Call(lambda x: x.permute(0, 2, 1).permute(0, 2, 1))
    assert View not in kinds(twice, (3, 5))
    assert kinds(nn.Flatten(), (2, 3, 4))[:2] == [Flatten, Dense]
    assert View not in kinds(Call(lambda x: x.transpose(1, 2).reshape(x.size(0), -1)), (3, 5))  # columns follow
    assert View not in kinds(Call(lambda x: x.view(x.size(0), 2, 12)), (2, 3, 4))
    assert kinds(Call(lambda x: x.view(x.size(0), 2, 12).view(x.size(0), 2, 3, 4)), (2, 3, 4)).count(Reshape) == 0


def test_padding_and_cutting_become_part_of_the_convolution():
    causal = nn.Sequential(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(3, 4, 3, dilation=2))
    graph, *_ = lowered(causal, (3, 10))
    conv = next(op for op in graph.ops if isinstance(op, Conv))
    assert conv.padding == ((0, 0), (4, 0))
    assert not any(isinstance(op, Pad) for op in graph.ops)
    chomp = nn.Sequential(nn.Conv1d(3, 4, 3, padding=4, dilation=2), Call(lambda x: x[:, :, :-4].contiguous()))
    graph, *_ = lowered(chomp, (3, 10))
    conv = next(op for op in graph.ops if isinstance(op, Conv))
    assert conv.padding == ((0, 0), (4, 0))
    assert not any(isinstance(op, View) for op in graph.ops)
    assert steps_apart(causal, (3, 10)) <= 1
    assert steps_apart(chomp, (3, 10)) <= 1
    tall = nn.Sequential(nn.Conv2d(2, 3, 3, padding=2), Call(lambda x: x[:, :, 1:, :-2]))
    graph, *_ = lowered(tall, (2, 5, 6))
    assert next(op for op in graph.ops if isinstance(op, Conv)).padding == ((1, 2), (2, 0))
    assert steps_apart(tall, (2, 5, 6)) <= 1


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), Call(lambda x: x[:, :, 2:])),  # more than the padding
        nn.Sequential(nn.Conv1d(3, 4, 3, padding=1, stride=2), Call(lambda x: x[:, :, :-1])),
        nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), Call(lambda x: x[:, 1:, :-1])),
        nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), Call(lambda x: x[:, :, ::2])),
        nn.Sequential(nn.ConstantPad1d((1, 1), 0.5), nn.Conv1d(3, 4, 3)),
        nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3)),
    ],
)
def test_what_cannot_be_folded_is_moved(module):
    shape = (2, 7, 7) if isinstance(module[0], nn.ZeroPad2d) else (3, 10)
    assert steps_apart(module, shape) <= 1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: x.view(-1, 5), "mixes the rows of a batch"),
        (lambda x: x[:1], "mixes the rows of a batch"),
        (lambda x: torch.flatten(x), "mixes the rows of a batch"),
        (lambda x: x.view(-1, 5, 2).flip(1).view(-1, 2, 5), "no three nested loops"),
        (lambda x: x.view(x.size(0), 2, 1, 1, 5), r"gives \(2, 1, 1, 5\) per sample"),
        (lambda x: F.pad(x, (1, 1), mode="reflect"), "mode='reflect'"),
        (lambda x: F.pad(x, (-1, 0)), r"padding=\(-1, 0\) cuts"),
        (lambda x: F.pad(x, (0, 0, 1, 1)), "pads the channels"),
        (lambda x: x[:, : len(x.shape) + x[0, 0].numel() - 11], "computed in the forward pass"),
        (lambda x: x.flip(2).sort(2), "'sort' in the forward pass"),
    ],
)
def test_what_is_not_covered_says_why(call, says):
    class Ends(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2, 2, 1)

        def forward(self, x):
            y = call(self.conv(x))
            return y[0] if isinstance(y, tuple) else y

    from tests.lowering.test_lower import lowered as lowered_whole

    with pytest.raises(DeployError, match=says):
        lowered_whole(Ends(), (2, 5), {"*": "int8"})
