"""Both matrices of a recurrent cell in one unit, as fine as their multipliers and int32 allow."""

import numpy as np
import pytest

from bitq.ir.types import BIPOLAR, INT8, INT32, TensorType, Weights
from bitq.lowering.parts import Part, fix_parts, narrow_of

READS = TensorType((4,), INT8, 0.5)


def part(gain, bias=0.0):
    weights = Weights(np.ones((2, 4), np.int8), BIPOLAR, np.ones(1))
    return Part("part", weights, np.atleast_1d(gain), np.full(2, bias), READS)


def real(dense, fraction, unit=1.0):
    return dense.rescale.multiplier * unit * 2.0**-fraction


def test_one_unit_gives_every_matrix_its_gain():
    gains = (0.004, np.array([0.0003, 0.001]))
    fraction, (first, second) = fix_parts([part(gains[0]), part(gains[1], 0.25)], 1.0, (5, 26))
    assert fraction == 22  # 0.004 · 2^23 takes more than 15 bits
    for dense, gain in zip((first, second), gains, strict=True):
        np.testing.assert_allclose(real(dense, fraction), gain, rtol=1e-3)
        assert (dense.rescale.pre_shift, dense.rescale.shift, dense.out.dtype) == (0, 0, INT32)
    np.testing.assert_allclose(second.bias * real(second, fraction), 0.25, atol=0.001)
    assert fix_parts([part(0.004), part(0.001)], 0.5, (5, 26))[0] == 21


def test_both_together_stay_below_half_of_int32():
    fraction, dense = fix_parts([part(1e-6, 20.0), part(1e-6, 20.0)], 1.0, (5, 26))
    assert fraction == 24
    assert sum(int(one.accumulators(READS)[0].magnitude) * int(one.rescale.multiplier[0]) for one in dense) < 2**30


def test_what_no_fraction_holds_is_refused():
    with pytest.raises(ArithmeticError, match="exceed int32"):
        fix_parts([part(2000.0), part(1.0)], 1.0, (5, 26))


def test_the_last_part_of_a_state_drops_what_16_bits_do_not_hold():
    _, (dense, _) = fix_parts([part(0.004), part(0.004)], 1.0, (5, 26))
    most = 4 * 128 * int(dense.rescale.multiplier[0])
    narrow = narrow_of(dense, TensorType((1,), INT8, 0.5))
    assert most >> narrow < 2**15 <= most >> narrow - 1
