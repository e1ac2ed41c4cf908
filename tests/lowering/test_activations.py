import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

from bitq.ir.ops import Lookup, Mul, Ramp, Requantize
from tests.lowering.alone import Call, lowered, steps_apart

SHAPES = [(7,), (3, 10), (2, 5, 4)]


def prelu(channels):
    module = nn.PReLU(channels)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(-0.5, 1.5, channels))
    return module


def norm(kind, channels):
    module = kind(channels)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(-1, 2, channels))
        module.bias.copy_(torch.linspace(0.5, -2, channels))
        module.running_mean.copy_(torch.linspace(-1, 1, channels))
        module.running_var.copy_(torch.linspace(0.3, 3, channels))
    return module


STRAIGHT = [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.7, 2.2), nn.LeakyReLU(0.1), nn.LeakyReLU(-0.3), nn.PReLU(),
            nn.RReLU(), nn.Hardsigmoid(), nn.Hardswish()]  # fmt: skip
CURVED = [nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.ELU(), nn.ELU(0.4), nn.CELU(0.7),
          nn.SELU(), nn.Softplus(), nn.Softplus(3.0), nn.Mish(), nn.LogSigmoid(), nn.Softsign()]  # fmt: skip
CALLS = [F.relu6, F.hardtanh, lambda x: F.leaky_relu(x, 0.2), F.hardsigmoid, F.hardswish, torch.sigmoid, torch.tanh,
         lambda x: x.sigmoid(), lambda x: x.tanh(), F.silu, F.gelu, F.elu, F.celu, F.selu, F.mish, F.softplus,
         F.softsign, F.logsigmoid, lambda x: torch.tanh(x * 0.3), lambda x: x / -7, lambda x: 2 - x,
         lambda x: x - 1.5, lambda x: -x, lambda x: x**2, lambda x: x.square(), lambda x: x * torch.sigmoid(x),
         lambda x: x * (F.relu6(x + 3) / 6)]  # fmt: skip


@pytest.mark.parametrize("module", [*STRAIGHT, *CURVED], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_activation_alone_is_within_one_step(module, shape):
    assert steps_apart(module, shape) <= 1


@pytest.mark.parametrize("call", CALLS)
def test_a_function_alone_is_within_one_step(call):
    # What is written as several operations rounds at each; the last one multiplies the error of a gate.
    assert steps_apart(Call(call), (3, 10)) <= (1 if call is not CALLS[-1] else 2)


@pytest.mark.parametrize("scale", [1e-3, 0.3])
@pytest.mark.parametrize("module", [nn.Hardswish(), nn.LeakyReLU(0.01), nn.Hardsigmoid(), nn.GELU()], ids=str)
def test_the_scale_of_the_input_does_not_matter(module, scale):
    assert steps_apart(module, (2, 6), scale=scale) <= 1


@pytest.mark.parametrize(
    ("module", "shape"),
    [(prelu(3), (3, 10)), (prelu(4), (4, 3, 3)), (prelu(5), (5,)), (norm(nn.BatchNorm1d, 5), (5,)),
     (norm(nn.BatchNorm1d, 3), (3, 8)), (norm(nn.BatchNorm2d, 3), (3, 4, 5))],
    ids=str,
)  # fmt: skip
def test_each_channel_has_its_own_line(module, shape):
    assert steps_apart(module, shape) <= 1


def test_constants_of_the_model_count_per_channel():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("gain", torch.tensor([0.5, -1.0, 2.0]).reshape(3, 1))

        def forward(self, x):
            return x * self.gain + 1

    assert steps_apart(Scaled(), (3, 10)) <= 1


def kinds(module, shape=(3, 10)):
    return [type(op) for op in lowered(module, shape)[0].ops if op.layer not in ("flat", "head")]


def test_what_each_costs():
    conv = nn.Conv1d(3, 4, 3)
    assert Ramp not in kinds(nn.Sequential(conv, nn.Hardsigmoid()))
    assert Requantize not in kinds(nn.Sequential(conv, nn.BatchNorm1d(4), nn.ReLU6()))
    assert kinds(nn.LeakyReLU())[:1] == [Ramp]
    assert kinds(nn.Hardswish())[:2] == [Ramp, Mul]
    assert kinds(nn.GELU())[:1] == [Lookup]
    assert not {Ramp, Requantize, Mul} & set(kinds(Call(lambda x: x * 3.0)))


@pytest.mark.parametrize(
    "tail",
    [nn.ReLU6(), nn.Hardtanh(), nn.Hardsigmoid(), nn.LeakyReLU(), nn.Hardswish(), nn.SiLU(), nn.Tanh()],
    ids=str,
)
def test_behind_a_layer_it_is_close_to_torch(tail):
    model = nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), tail)
    # Two roundings: of the layer, and of the activation.
    assert steps_apart(model, (3, 12)) <= 2


def test_a_curve_spends_its_input_on_where_it_changes():
    wide = nn.Sequential(nn.Conv1d(3, 4, 1), nn.Tanh())
    graph, *_ = lowered(wide, (3, 8), scale=1.0)
    conv = graph.ops[0]
    assert conv.out.scale * 127 < 8  # the sums themselves reach some hundred
    assert np.unique(graph.ops[1].table).size > 100
