import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

from bitq.core.errors import DeployError
from bitq.ir.ops import AvgPool, MaxPool
from tests.lowering.alone import Call, lowered, steps_apart

POOLS = [
    (nn.MaxPool2d(3, 2, 1), (2, 9, 8)),
    (nn.MaxPool2d((2, 3), (1, 2)), (2, 9, 8)),
    (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 8, 8)),
    (nn.MaxPool1d(4, 3, ceil_mode=True), (3, 9)),
    (nn.AvgPool2d(3, 2, 1), (2, 9, 8)),
    (nn.AvgPool1d(3, 1, 1), (3, 9)),
    (nn.AvgPool2d((2, 1)), (2, 6, 5)),
    (nn.AdaptiveAvgPool2d(1), (3, 6, 5)),
    (nn.AdaptiveAvgPool2d((3, 5)), (2, 6, 5)),
    (nn.AdaptiveAvgPool2d((None, 1)), (2, 6, 5)),
    (nn.AdaptiveAvgPool2d((3, 3)), (2, 7, 7)),
    (nn.AdaptiveAvgPool1d(3), (2, 9)),
    (nn.AdaptiveMaxPool2d(2), (2, 6, 4)),
    (nn.AdaptiveMaxPool1d(1), (2, 9)),
]
MEANS = [
    (lambda x: x.mean((2, 3)), (3, 5, 4)),
    (lambda x: x.mean(2), (3, 5, 4)),
    (lambda x: x.mean(3), (3, 5, 4)),
    (lambda x: x.mean(-1, keepdim=True), (3, 5, 4)),
    (lambda x: x.mean(1), (3, 5, 4)),
    (lambda x: x.mean(1, keepdim=True), (3, 5, 4)),
    (lambda x: x.mean((1, 2, 3)).unsqueeze(1), (3, 5, 4)),
    (lambda x: x.mean(2), (3, 9)),
    (lambda x: x.mean(1), (3, 9)),
    (lambda x: torch.mean(x, [1], keepdim=True), (6,)),
    (lambda x: x.sum(2), (3, 9)),
    (lambda x: torch.sum(x, (2, 3), keepdim=True), (3, 5, 4)),
    (lambda x: F.adaptive_avg_pool1d(x, 1), (3, 9)),
]


@pytest.mark.parametrize(("module", "shape"), POOLS, ids=str)
def test_a_pool_alone_is_within_one_step(module, shape):
    assert steps_apart(module, shape) <= (1 if "Avg" in str(module) else 0)


@pytest.mark.parametrize("case", range(len(MEANS)))
def test_a_mean_alone_is_within_one_step(case):
    call, shape = MEANS[case]
    assert steps_apart(Call(call), shape) <= 1


def test_one_rounding_each():
    ops = [type(op) for op in lowered(Call(lambda x: x.mean((1, 2, 3), keepdim=True)), (3, 5, 4))[0].ops]
    assert ops.count(AvgPool) == 1
    assert MaxPool not in ops


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (nn.AdaptiveAvgPool2d((5, 4)), r"output_size=\(5, 4\) of 9 places.*divisor of 9"),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), "count_include_pad=False"),
        (Call(lambda x: x.mean(0, keepdim=True).expand(x.size(0), -1, -1, -1)), "expand|rows of a batch"),
        (Call(lambda x: x.mean((1, 2))), r"dim=\[1, 2\]"),
    ],
    ids=["sizes", "pad", "batch", "part"],
)
def test_what_is_not_covered_says_why(module, says):
    with pytest.raises(DeployError, match=says):
        lowered(module, (2, 9, 8))
