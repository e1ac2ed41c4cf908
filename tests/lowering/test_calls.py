"""Functions and tensor methods in a forward pass, against the same network in modules."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

from bitq.core.errors import DeployError
from bitq.data.dataset import InputSpec
from bitq.ir.reference import evaluate
from bitq.lowering.lower import lower
from bitq.quant.quantizer import Quantizer
from tests.networks import ROUND_ONLY

ACTIVATE = [F.relu, torch.relu, lambda x: x.relu(), lambda x: F.relu(x, inplace=True), lambda x: x.relu_()]
FLATTEN = [
    lambda x: torch.flatten(x, 1),
    lambda x: x.flatten(1),
    lambda x: x.view(x.shape[0], -1),
    lambda x: x.view(x.size(0), -1),
    lambda x: x.reshape(-1, 18),
    lambda x: torch.reshape(x, (-1, 18)),
    lambda x: x.view(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]),
    lambda x: x.view(-1, x[0].numel()) if isinstance(x, torch.Tensor) else x.view(-1, x.shape[1] * 9),
]
POOL = [
    lambda x: F.max_pool2d(x, 3),
    lambda x: F.max_pool2d(x, kernel_size=3, stride=3),
    lambda x: torch.max_pool2d(x, 3),
    lambda x: F.avg_pool2d(x, (3, 3)),
    lambda x: F.dropout(F.avg_pool2d(x, 3), 0.5, False),
]
MEAN = [
    lambda x: x.mean((2, 3)),
    lambda x: x.mean(dim=[-1, -2]),
    lambda x: torch.mean(x, (2, 3), keepdim=True).flatten(1),
    lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
]


class Written(nn.Module):
    def __init__(self, width, *steps):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(width, 4)
        self.steps = steps
        self.inner = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))

    def forward(self, x):
        x = self.conv(x)
        for step in self.steps:
            x = step(x)
        return self.head(x)


def lowered(model, shape=(1, 11, 11)):
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    x = np.random.default_rng(0).integers(-128, 128, (300, *shape)).astype(np.int8)
    real = torch.from_numpy(x).float() / 64
    graph = lower(Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish(), real, InputSpec(shape, 1 / 64, 0))
    with torch.no_grad():
        return graph, np.moveaxis(x, 1, -1), model(real).numpy()


def assert_same(model, modules, shape=(1, 11, 11)):
    graph, x, truth = lowered(model, shape)
    expected, _, _ = lowered(modules, shape)
    assert [type(op) for op in graph.ops] == [type(op) for op in expected.ops]
    np.testing.assert_array_equal(evaluate(graph, x).scores, evaluate(expected, x).scores)
    assert (evaluate(graph, x).winners == truth.argmax(axis=1)).mean() > 0.95


@pytest.mark.parametrize("activate", ACTIVATE)
def test_relu_in_all_its_forms(activate):
    pool = nn.MaxPool2d(3)
    assert_same(Written(18, activate, pool, nn.Flatten()), Written(18, nn.ReLU(), pool, nn.Flatten()))


@pytest.mark.parametrize("flatten", FLATTEN)
def test_flatten_in_all_its_forms(flatten):
    pool = nn.MaxPool2d(3)
    assert_same(Written(18, nn.ReLU(), pool, flatten), Written(18, nn.ReLU(), pool, nn.Flatten()))


@pytest.mark.parametrize("index", range(len(POOL)))
def test_pools(index):
    module = nn.MaxPool2d(3) if index < 3 else nn.AvgPool2d(3)
    assert_same(Written(18, F.relu, POOL[index], nn.Flatten()), Written(18, F.relu, module, nn.Flatten()))


@pytest.mark.parametrize("mean", MEAN)
def test_global_averages(mean):
    modules = Written(2, F.relu, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    graph, x, _ = lowered(Written(2, F.relu, mean))
    np.testing.assert_array_equal(evaluate(graph, x).scores, evaluate(lowered(modules)[0], x).scores)


@pytest.mark.parametrize(
    "last", [nn.Softmax(1), nn.LogSoftmax(-1), lambda x: F.softmax(x, dim=1), lambda x: x.softmax(-1)]
)
def test_a_softmax_at_the_end_is_dropped(last):
    class Ends(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(6, 4)
            self.last = last if isinstance(last, nn.Module) else None

        def forward(self, x):
            return last(self.head(x))

    graph, x, truth = lowered(Ends(), (6,))
    bare, _, _ = lowered(nn.Sequential(nn.Linear(6, 4)), (6,))
    np.testing.assert_array_equal(evaluate(graph, x).scores, evaluate(bare, x).scores)
    assert (evaluate(graph, x).winners == truth.argmax(axis=1)).mean() > 0.98


def test_a_softmax_whose_values_matter_is_refused():
    quantized = Quantizer(nn.Sequential(nn.Linear(6, 4), nn.Softmax(1)), {"*": "int8"}, ROUND_ONLY).finish()
    with pytest.raises(DeployError, match="softmax is covered as the last step over dim=1 of a classifier"):
        lower(quantized, torch.ones(4, 6), InputSpec((6,), 1.0, 0), classify=False)


def test_in_place_calls_change_what_is_read_later():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.relu, self.head = nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 4)

        def forward(self, x):
            y = self.fc(x)
            self.relu(y)
            return self.head(y)

    assert_same(Both(), nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4)), (6,))


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([lambda x: torch.floor(x)], "'floor' in the forward pass"),
        ([lambda x: torch.add(x, x, alpha=2)], "'add'.*alpha=2"),
        ([lambda x: x + x.mean((2, 3), keepdim=True)], "'add.*both sides need one shape"),
        ([lambda x: torch.cat([x, x], 0)], "'cat'.*dim=0 joins rows of the batch"),
        ([lambda x: x.softmax(1), nn.Flatten()], "'softmax'.*last step"),
        ([lambda x: x.mean((1, 2)), nn.Flatten()], r"'mean'.*dim=\[1, 2\]"),
        ([lambda x: F.dropout(x)], "'dropout'.*training=self.training"),
        ([lambda x: x.view(x.shape[0], x[0].numel(), -1)], "'view'.*several of its sizes"),
        ([lambda x: x.view(x.shape[0] * 2, 5)], "'view' in the forward pass cannot be run on rows.*batch alone"),
        ([lambda x: F.conv2d(x, x.mean(0, True))], "'conv2d' in the forward pass.*nn.Conv2d"),
        ([lambda x: F.linear(x, torch.ones(2, 9).exp())], "a constant, or what is computed.*by 'linear'.*nn.Linear"),
        ([lambda x: F.mse_loss(x, x)], "'mse_loss'.*square"),
        ([lambda x: x.view(-1, 81)], "'view'.*rows of a batch.*torch.flatten"),
        ([lambda x: torch.flatten(x)], "'flatten'.*rows of a batch"),
        ([lambda x: F.avg_pool2d(x, 2, ceil_mode=True), nn.Flatten()], "'avg_pool2d'.*ceil_mode"),
        ([lambda x: x.mean((2, 3), dtype=torch.float64)], "'mean' in the forward pass.*dtype"),
    ],
)
def test_calls_that_mean_something_else_are_refused_by_name(steps, says):
    class Free(Written):
        def forward(self, x):
            x = self.conv(x)
            for step in self.steps:
                x = step(x)
            return x

    with pytest.raises(DeployError, match=says):
        lowered(Free(1, *steps))
