import numpy as np
import pytest

from bitq.codegen.ops.buckets import columns
from bitq.codegen.pack import PACKINGS
from bitq.ir.types import BIPOLAR, WEIGHT_DTYPES, Weights
from tests.graphs import weights


@pytest.mark.parametrize("dtype", WEIGHT_DTYPES.values(), ids=WEIGHT_DTYPES)
@pytest.mark.parametrize("outputs", [1, 5, 16, 33])
def test_columns_hold_every_bit_of_every_weight(dtype, outputs):
    given = weights(np.random.default_rng(outputs), (outputs, 11), dtype)
    packing = PACKINGS[dtype.name]
    per_group = 8 // packing.field_bits
    together = 1 if outputs <= per_group else 2
    pairs = columns(given).reshape(-1, 11, together)
    for output in range(outputs):
        group, index = divmod(output, per_group)
        numbers = pairs[group // together, :, group % together]
        bits = [numbers >> (index * packing.field_bits + plane) & 1 for plane in range(packing.field_bits)]
        fields = sum(bit.astype(int) << (packing.field_bits - 1 - plane) for plane, bit in enumerate(bits))
        np.testing.assert_array_equal((fields << packing.widen) - packing.offset, given.codes[output])


def test_two_groups_lie_side_by_side():
    codes = -np.ones((16, 2), np.int8)
    codes[0] = codes[9] = 1
    codes[9, 1] = -1
    assert columns(Weights(codes, BIPOLAR, np.ones(1))).tolist() == [1, 2, 1, 0]
