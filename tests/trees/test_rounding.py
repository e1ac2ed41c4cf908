import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitq.ir.types import INT8, INT16, TensorType
from bitq.trees.rounding import Lattice, lattice_of

VALUES = st.sampled_from([(INT8, 10), (INT8, 256), (INT8, 257), (INT8, 4000), (INT16, 1), (INT16, 20), (INT16, 600)])


@given(VALUES, st.integers(0, 2**32 - 1))
def test_a_gap_and_its_threshold_decide_alike(value, seed):
    dtype, size = value
    rng = np.random.default_rng(seed)
    lattice = lattice_of(TensorType((size,), dtype, 1.0))
    x = rng.integers(dtype.low, dtype.high + 1, (50, size))
    x[0], x[1] = dtype.low, dtype.high
    coarse = lattice.coarse(x)
    feature = rng.integers(0, size, 30)
    gap = rng.integers(coarse.min(axis=0), coarse.max(axis=0) + 1)[feature]
    splits = gap < coarse.max(axis=0)[feature]  # a gap that all are in or below is never chosen
    threshold = lattice.threshold(feature, gap)
    assert lattice.holds(feature, threshold).all()
    assert dtype.allows(threshold[splits])
    assert ((x[:, feature] > threshold) == (coarse[:, feature] > gap)).all()


@given(VALUES)
def test_it_names_the_feature_below_the_threshold(value):
    dtype, size = value
    lattice = lattice_of(TensorType((size,), dtype, 1.0))
    free = 0 if dtype is INT16 else 8
    feature = np.arange(size)
    wide = (lattice.threshold(feature, feature % 5) << free) + (feature & ((1 << free) - 1))
    bits = max(1, (size - 1).bit_length())
    assert ((wide & ((1 << bits) - 1)) == feature).all()


@given(st.integers(0, 8), st.integers(-500, 500), st.integers(1, 600), st.data())
def test_rounding_changes_no_decision_between_the_training_rows(bits, low, width, data):
    lattice = Lattice(bits, np.array([data.draw(st.integers(0, (1 << bits) - 1))]))
    high = low + width
    given_one = data.draw(st.integers(low, high - 1))
    rounded = lattice.rounded(0, low, high, given_one)
    assert low <= rounded < high
    on_lattice = bool(lattice.holds(np.array([0]), np.array([rounded]))[0])
    inside = [t for t in range(low, high) if lattice.holds(np.array([0]), np.array([t]))[0]]
    assert on_lattice == bool(inside)
    if inside:
        assert abs(rounded - given_one) == min(abs(t - given_one) for t in inside)
