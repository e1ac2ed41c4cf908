import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

from bitq.ir.ops import Lookup, Mul, Ramp, Requantize
from tests.lowering.alone import Call, lowered, steps_apart

CALLS = [F.relu6, F.hardtanh, lambda x: F.leaky_relu(x, 0.2), F.hardsigmoid, F.hardswish, torch.sigmoid, torch.tanh,
         lambda x: x.sigmoid(), lambda x: x.tanh(), F.silu, F.gelu, F.elu, F.celu, F.selu, F.mish, F.softplus,
         F.softsign, F.logsigmoid, lambda x: torch.tanh(x * 0.3), lambda x: x / -7, lambda x: 2 - x,
         lambda x: x - 1.5, lambda x: -x, lambda x: x**2, lambda x: x.square(), lambda x: x * torch.sigmoid(x),
         lambda x: x * (F.relu6(x + 3) / 6)]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_a_function_alone_is_within_one_step(call):
    # What is written as several operations rounds at each; the last one multiplies the error of a gate.
    assert steps_apart(Call(call), (3, 10)) <= (1 if call is not CALLS[-1] else 2)


@pytest.mark.parametrize("scale", [1e-3, 0.3])
@pytest.mark.parametrize("module", [nn.Hardswish(), nn.LeakyReLU(0.01), nn.Hardsigmoid(), nn.GELU()], ids=str)
def test_the_scale_of_the_input_does_not_matter(module, scale):
    assert steps_apart(module, (2, 6), scale=scale) <= 1


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
