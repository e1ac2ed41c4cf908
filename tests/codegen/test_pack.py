import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.pack import PACKINGS, pack, unpack
from bitq.ir.types import BIPOLAR, ODD2, ODD4, WEIGHT_DTYPES


@given(
    st.sampled_from(list(WEIGHT_DTYPES.values())),
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_unpack_is_the_inverse_of_pack(dtype, rows, inputs, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, (dtype.high - dtype.low) // dtype.step + 1, (rows, inputs)) * dtype.step + dtype.low
    codes = codes.astype(np.int8)
    packed = pack(codes, dtype)
    assert packed.dtype == np.uint8
    assert packed.size == PACKINGS[dtype.name].packed_bytes(rows, inputs)
    np.testing.assert_array_equal(unpack(packed, dtype, inputs), codes)


@pytest.mark.parametrize("dtype", WEIGHT_DTYPES.values(), ids=WEIGHT_DTYPES)
def test_a_full_row_wastes_no_bit(dtype):
    assert PACKINGS[dtype.name].packed_bytes(3, 16) == 3 * 16 * dtype.bits // 8


def test_layout():
    # The first input is the lowest bit; the high plane comes first; the first nibble is the low one.
    assert pack(np.array([[1, -1, -1, -1, -1, -1, -1, -1, 1]], np.int8), BIPOLAR).tolist() == [[1, 1]]
    assert pack(np.array([[3, -1]], np.int8), ODD2).tolist() == [[1, 3]]
    assert pack(np.array([[-15, 15, -13]], np.int8), ODD4).tolist() == [[0xF0, 0x01]]


def test_bits_past_the_last_input_are_zero():
    packed = pack(np.ones((2, 3), np.int8), BIPOLAR)
    assert packed.tolist() == [[0b111], [0b111]]
