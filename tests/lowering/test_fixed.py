"""Fixed-point rescaling against real arithmetic, over gains and offsets of any size."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.emit import emit
from bitq.codegen.ops.linear import shortest_bias
from bitq.ir.types import INT8, INT32_MAX, UINT8
from bitq.lowering.fixed import fix, shorten
from bitq.lowering.lower import lower
from bitq.train.inference import to_float
from tests.networks import Case, build

SMALL, LARGE = 2.0**-24, 2.0**6


@st.composite
def layers(draw):
    channels = draw(st.integers(1, 6))
    numbers = st.floats(-24, 6).map(lambda e: 2.0**e)
    top = draw(numbers)
    gain = np.array([max(SMALL, top * 2.0 ** -draw(st.floats(0, 14))) for _ in range(channels)])
    offset = np.array([draw(st.floats(-500, 500)) for _ in range(channels)])
    # A layer whose inputs use less than 1/500 of the proved range is no case that calibration gives.
    magnitude = draw(st.integers(1, max(1, int(min(2**20, 2**16 / gain.max())))))
    return gain, offset, magnitude, draw(st.sampled_from([(INT8, -127), (UINT8, 0)]))


@given(layers(), st.integers(0, 2**32 - 1))
def test_the_result_is_the_rounded_real_one_within_one_step(layer, seed):
    gain, offset, magnitude, (dtype, low) = layer
    fixed = fix(gain, offset, magnitude, dtype, 0, low=low, high=dtype.high)
    rng = np.random.default_rng(seed)
    # What matters are accumulators that a layer's range is calibrated on: about one range of the output wide.
    near = np.minimum(magnitude, 1 + 1000 / gain.max())
    acc = np.rint(rng.uniform(-near, near, (500, len(gain)))).astype(np.int64)
    real = np.clip(np.rint(gain * acc + offset), low, dtype.high)
    # The bias is a whole number of accumulator units.
    assert np.abs(fixed.rescale.apply(acc + fixed.bias) - real).max() <= 1 + gain.max() / 2


@given(layers())
def test_every_product_fits_in_32_bits(layer):
    gain, offset, magnitude, (dtype, low) = layer
    fixed = fix(gain, offset, magnitude, dtype, 0, low=low, high=dtype.high)
    r = fixed.rescale
    reach = magnitude + np.abs(fixed.bias.astype(np.int64))
    product = ((reach >> r.pre_shift) + 1) * r.multiplier.astype(np.int64) + (1 << r.shift >> 1)
    assert reach.max() <= INT32_MAX
    assert product.max() <= INT32_MAX
    assert (r.multiplier >= 1).all()
    assert 0 <= r.pre_shift <= 15
    assert 0 <= r.shift <= 30


@given(
    st.lists(st.tuples(st.integers(-(2**29), 2**29), st.integers(-(2**22), 2**22)), min_size=1, max_size=8),
    st.sampled_from([0, 1, 125, 128]),
    st.floats(0.5, 1e9),
)
def test_short_biases_take_16_bits_as_c_stores_them_unless_that_costs_too_much(channels, zero, tolerance):
    real, sums = (np.array(column, np.int64) for column in zip(*channels, strict=True))
    folded = zero * sums
    short = shorten(real.astype(float), tolerance, folded)
    assert np.abs(short - real).max() <= max(0.5, tolerance)
    stored, _ = shortest_bias(short.astype(np.int64) - folded)
    assert stored.dtype == np.int16 or np.abs(real - folded).max() / 2**15 > tolerance / 2


@pytest.mark.parametrize(
    "case",
    [
        Case((6,), ("fc", "fc"), book="int8"),
        Case((3, 16), ("same", "same", "flat"), book="int8", zero_point=0),
        Case((2, 9, 8), ("same", "point", "mean", "flat", "fc"), book="int8", zero_point=-128),
        Case((4, 20), ("same", "depth", "dilated", "groups", "flat"), book="int8"),
        Case((4, 20), ("depth", "flat"), book="odd4"),
    ],
    ids=str,
)
def test_constants_of_layers_have_at_most_16_bits(case):
    rounded, x, spec = build(case)
    graph = lower(rounded, to_float(x, spec), spec, name="net")
    code = emit(graph, "size").files["model.c"]  # faster forms keep products of them
    kinds = re.findall(r"(\w+) net_\w+_(bias|multiplier)\[", code)
    assert {"bias", "multiplier"} <= {what for _, what in kinds}
    assert {kind for kind, _ in kinds} == {"int16_t"}
    assert code.count("pre_shift") == code.count(".shift")  # one of each per layer
