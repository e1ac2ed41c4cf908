"""The rules of a recurrent layer, and what it proves."""

from dataclasses import replace

import numpy as np
import pytest

from bitq.core.errors import DeployError, RangeError
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import Dense, Recurrent, Requantize
from bitq.ir.ranges import prove
from bitq.ir.types import BIPOLAR, INT8, INT16, INT32, UINT8, Rescale, TensorType, Weights

X = TensorType((1, 7, 2), INT8, 1.0)


def part(name, inputs):
    codes = np.ones((9, inputs), np.int8)
    scale = Rescale(np.ones(1, np.int16), 0, 0, 0, INT32.low, INT32.high)
    out = TensorType((9,), INT32, 1.0)
    weights = Weights(codes, BIPOLAR, np.ones(1))
    return Dense(name=name, inputs=(), out=out, weights=weights, bias=np.zeros(9, np.int32), rescale=scale)


GRU = Recurrent(
    name="gru",
    inputs=("input",),
    out=TensorType((1, 7, 3), INT8, 1.0),
    cell="gru",
    input=part("gru.input", 2),
    state=part("gru.state", 3),
    fraction=12,
)
SHORT = TensorType((9,), INT16, 1.0)


def net(x=X, **changes):
    op = replace(GRU, **changes)
    identity = Rescale(np.ones(1, np.int16), 0, 0, 0, INT32.low, INT32.high)
    last = Requantize(name="s", inputs=("gru",), out=replace(op.out, dtype=INT32), rescale=identity)
    return Graph("net", x, (op, last), ("s",))


def scaled(part, **changes):
    return replace(part, rescale=replace(part.rescale, **changes))


BROKEN = {
    "its cell 'gruu' is one of rnn, relu, gru, lstm": {"cell": "gruu"},
    r"it reads \(1, time, channels\)": {"x": TensorType((2, 7, 2), INT8, 1.0)},
    "it gives INT8": {"out": replace(GRU.out, dtype=UINT8)},
    "its output has no zero point": {"out": replace(GRU.out, zero_point=1)},
    "it gives 9 parts, declared": {"input": replace(GRU.input, out=TensorType((8,), INT32, 1.0))},
    "it gives 12 parts": {"cell": "lstm"},
    "it gives INT32 around 0": {"state": replace(scaled(GRU.state, low=-32768, high=32767), out=SHORT)},
    "it has multipliers": {"input": replace(GRU.input, rescale=None)},
    r"weights \(9, 3\) match the input": {"input": GRU.state},
    "its multipliers come without shift and clamp": {"state": scaled(GRU.state, shift=1)},
    "one bias per output channel": {"state": replace(GRU.state, bias=np.zeros(8, np.int32))},
    "fraction is 5..26, got 27": {"fraction": 27},
    "cell_fraction is 5..14, got 15": {"cell_fraction": 15},
    "narrow is 0..15, got 16": {"narrow": 16},
    "shift is 1..23, got 24": {"shift": 24},
    "the step 7 that it keeps is one of 7": {"pick": 7},
    r"its output is \(3,\), declared \(1, 7, 3\)": {"pick": 6},
}


def test_the_layer_is_valid():
    assert [sums.part for sums in prove(check(net()))["gru"]] == ["input", "state", "cell"]


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named(rule):
    with pytest.raises(DeployError, match=rule):
        check(net(**BROKEN[rule]))


@pytest.mark.parametrize("name", ["input", "state"])
def test_what_may_overflow_is_refused_by_its_name(name):
    loud = replace(getattr(GRU, name), bias=np.full(9, 2**31 - 1, np.int32))
    with pytest.raises(RangeError, match=f"layer gru: its {name} accumulator may reach"):
        prove(net(**{name: loud}))


def test_it_computes_no_further_than_the_step_that_it_keeps():
    assert replace(GRU, pick=2).order(7) == [0, 1, 2]
    assert replace(GRU, pick=2, reverse=True).order(7) == [6, 5, 4, 3, 2]
    assert replace(GRU, reverse=True).order(3) == [2, 1, 0]
