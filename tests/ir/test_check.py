from dataclasses import replace

import numpy as np
import pytest

from bitq.core.errors import DeployError
from bitq.ir.check import check
from bitq.ir.ops import Add, ArgMax, Concat, Requantize
from bitq.ir.types import BIPOLAR, INT8, INT32, UINT8, Rescale, TensorType, Weights
from tests.codegen.nets import sequence_net

NET = sequence_net()
CONV, POOL, DENSE, WINNER = NET.ops


def with_op(index, **changes):
    ops = list(NET.ops)
    ops[index] = replace(ops[index], **changes)
    return replace(NET, ops=tuple(ops))


def with_rescale(**changes):
    return with_op(0, rescale=replace(CONV.rescale, **changes))


BROKEN = {
    "the name is a C identifier": replace(NET, name="1st model"),
    "the caller's input is INT8": replace(NET, input=replace(NET.input, dtype=UINT8)),
    "its zero point 200 lies within INT8": replace(NET, input=replace(NET.input, zero_point=200)),
    "every value is assigned once": replace(NET, ops=(*NET.ops, WINNER)),
    r"inputs exist before they are read \(missing: conv.1\)": replace(NET, ops=(POOL, CONV, DENSE, WINNER)),
    "one input, got 2": with_op(1, inputs=("conv.1", "input")),
    "a graph has an output": replace(NET, outputs=()),
    "outputs exist and are INT32": replace(NET, outputs=("pool",)),
    "outputs exist": replace(NET, outputs=("nowhere",)),
    "the winner is an ArgMax": replace(NET, winner="fc"),
    r"weights \(2, 88\) match the input": with_op(1, out=replace(POOL.out, shape=(1, 10, 8)), kernel=(1, 4)),
    "one bias per output channel": with_op(2, bias=np.zeros(3, np.int32)),
    "it reads 8-bit activations": replace(
        NET,
        ops=(*NET.ops, Requantize(name="r", inputs=("fc",), out=DENSE.out, rescale=CONV.rescale)),
    ),
    r"its output is \(1, 23, 8\), declared \(1, 24, 8\)": with_op(0, out=replace(CONV.out, shape=(1, 24, 8))),
    "its 8 outputs divide into 3 groups": with_op(
        0, groups=3, weights=replace(CONV.weights, codes=np.ones((8, 1, 5, 1), np.int8))
    ),
    "a dilation is at least 1": with_op(0, dilation=(1, 0)),
    "fits into the padded input": with_op(1, kernel=(2, 2)),
    r"its input is \(height, width, channels\)": replace(NET, input=replace(NET.input, shape=(50, 3))),
    "it keeps the type of its input": with_op(1, out=replace(POOL.out, zero_point=1)),
    "without rescale it gives INT32": with_op(0, rescale=None),
    "1 or 8 multipliers": with_rescale(multiplier=np.ones(3, np.int16)),
    "multipliers are 1..32767": with_rescale(multiplier=np.zeros(8, np.int16)),
    "shifts are 0..15 and 0..30": with_rescale(shift=31),
    "shifts are 0..15": with_rescale(pre_shift=16),
    "the clamp lies within UINT8": with_rescale(high=256),
    "the clamp lies": with_rescale(low=5, high=4),
    "rescale and output share a zero point": with_rescale(zero_point=1),
}


ADD = Add(
    name="sum",
    inputs=("conv.1", "conv.1"),
    out=CONV.out,
    multipliers=(1, 1),
    rescale=replace(CONV.rescale, multiplier=np.ones(1, np.int16)),
)
JOIN = Concat(name="both", inputs=("conv.1", "conv.1"), out=replace(CONV.out, shape=(1, 23, 16)))
BRANCHES = {
    "two inputs, got 1": replace(ADD, inputs=("conv.1",)),
    "its inputs have one shape": replace(ADD, inputs=("conv.1", "pool")),
    "multipliers are ±1..±32767": replace(ADD, multipliers=(1, 0)),
    "one multiplier for all channels of a sum": replace(ADD, rescale=CONV.rescale),
    "two inputs or more, got 1": replace(JOIN, inputs=("conv.1",)),
    "its inputs have the same places": replace(JOIN, inputs=("conv.1", "pool")),
    r"its output is \(1, 23, 16\)": replace(JOIN, out=CONV.out),
    "it keeps the type of its input": replace(JOIN, out=replace(JOIN.out, zero_point=1)),
    "it reads 8-bit activations": replace(ADD, inputs=("fc", "fc")),
}


@pytest.mark.parametrize("rule", BRANCHES)
def test_each_broken_rule_of_a_branch_is_named(rule):
    check(replace(NET, ops=(*NET.ops, ADD, JOIN)))
    with pytest.raises(DeployError, match=rule):
        check(replace(NET, ops=(*NET.ops, BRANCHES[rule])))


def test_a_valid_graph_passes():
    assert check(NET) is NET


@pytest.mark.parametrize("rule", BROKEN)
def test_each_broken_rule_is_named(rule):
    with pytest.raises(DeployError, match=rule):
        check(BROKEN[rule])


def test_codes_outside_the_codebook_are_refused():
    with pytest.raises(DeployError, match="outside BIPOLAR"):
        Weights(np.zeros((2, 2), np.int8), BIPOLAR, np.ones(1))


def test_an_index_may_be_an_output_too():
    graph = replace(NET, outputs=("fc", "winner"))
    assert check(graph) is graph
    assert isinstance(graph.ops[-1], ArgMax)


@pytest.mark.parametrize(("dtype", "value"), [(INT8, -129), (UINT8, -1), (UINT8, 256), (INT32, 2**31)])
def test_zero_points_lie_within_the_type(dtype, value):
    rescale = Rescale(np.ones(1, np.int16), 0, 0, value, dtype.low, dtype.high)
    out = TensorType((2,), dtype, 1.0, value)
    op = Requantize(name="r", inputs=("input",), out=out, rescale=rescale)
    graph = replace(NET, input=TensorType((2,), INT8, 1.0), ops=(op,), outputs=("r",), winner=None)
    with pytest.raises(DeployError, match="its zero point"):
        check(graph)
