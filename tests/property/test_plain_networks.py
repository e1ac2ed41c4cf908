"""Plain torch networks that learned a little: exact in C on the host and as firmware on the emulated core."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo
from bitq.data.dataset import InputSpec
from bitq.device import emulator
from bitq.device.config import TargetConfig
from bitq.device.host import HostModel
from bitq.device.verify import verify
from bitq.ir.ops import Add, Concat, Conv
from bitq.ir.reference import evaluate, values
from bitq.lowering.lower import lower
from bitq.train.inference import to_float
from examples.networks import DsCnn
from tests.networks import Case, draw, learn

SPEC = InputSpec((1, 12, 10), 1 / 64, -3)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.one, self.two = (nn.Conv2d(6, 6, 3, padding=1, bias=False) for _ in range(2))
        self.norm = nn.BatchNorm2d(6)
        self.side = nn.Conv2d(6, 4, 3, padding=2, dilation=2)
        self.head = nn.Linear(10 * 30, 5)

    def forward(self, x):
        x = self.stem(x).relu()
        y = self.norm(self.two(F.relu(self.one(x))))
        y += x
        y = F.relu(y, inplace=True)
        y = torch.cat([y, self.side(y)], dim=1)
        return self.head(F.max_pool2d(y, 2).view(y.size(0), -1))


def lowered(model, book):
    torch.manual_seed(0)
    model, case = model(), Case(SPEC.shape, ())
    (x, y), (unseen, _) = draw(case, 1000), draw(case, 1000, seed=1)
    graph = lower(learn(model, {"*": book}, to_float(x, SPEC), y, 50), to_float(x, SPEC), SPEC)
    with torch.no_grad():
        truth = model(to_float(unseen, SPEC)).argmax(dim=1).numpy()
    return graph, np.moveaxis(unseen, 1, -1), truth


@pytest.mark.parametrize("book", ["int8", "bipolar"])
def test_exact_on_the_host_and_on_the_core(book, tmp_path):
    graph, x, truth = lowered(Residual, book)
    expected = evaluate(graph, x)
    assert (expected.winners == truth).mean() >= 0.99
    write_deploy(tmp_path / "d", graph, DeployInfo(), vectors_of(graph, x, np.zeros(len(x))))
    got = HostModel(tmp_path / "d").predict(x)
    np.testing.assert_array_equal(got.scores, expected.scores)
    np.testing.assert_array_equal(got.winners, expected.winners)
    if emulator.is_installed():
        measured = verify(
            tmp_path / "d", TargetConfig(compiler="zig", samples=100), x, expected.scores, expected.winners
        )
        assert measured.passed, measured.verdict
        assert measured.samples_checked == 100


def test_depthwise_residual_and_joined_values_are_what_they_are_called():
    graphs = [lowered(model, "int8")[0] for model in (lambda: DsCnn(8, 2, 5), Residual)]
    assert [op.groups for op in graphs[0].ops if isinstance(op, Conv)] == [1, 8, 1, 8, 1]
    assert [op.dilation for op in graphs[1].ops if isinstance(op, Conv)][-1] == (2, 2)
    assert sum(isinstance(op, Add | Concat) for op in graphs[1].ops) == 2


def test_a_sum_is_within_one_step_of_the_real_one():
    graph, x, _ = lowered(Residual, "int8")
    got, types = values(graph, x[:50]), graph.types()
    add = next(op for op in graph.ops if isinstance(op, Add))
    real = sum((got[name] - types[name].zero_point) * types[name].scale for name in add.inputs)
    steps = np.clip(real / add.out.scale, 0, 255)  # the ReLU behind it is in its clamp
    assert np.abs(got[add.name] - steps).max() <= 1
