"""The ONNX backend's node cases of every operator that is covered: all run, and what is left out is named."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

pytest.importorskip("onnx")
from tests.lowering.onnx_cases import Case, cases, refusal, worst

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")

EXCLUDED = {
    "numbers of a type that the chip does not take: no 8-bit integers, and no floats of 16 to 64 bits": (
        "test_*_int16", "test_*_uint16", "test_*_uint32", "test_*_uint64", "test_div_int32_trunc", "test_*_e4m3fn*",
        "test_*_e5m2", "test_*_float4e2m1", "test_dequantizelinear_*int2", "test_dequantizelinear_*int4",
        "test_celu_bfloat16", "test_pow_types_int*", "test_*_bool*",
    ),
    "integers without a scale in a layer on real numbers": ("test_*_int8", "test_*_uint8", "test_clip_*_int8_m*"),
    "borders that repeat or mirror": ("test_edge_pad", "test_reflect_pad", "test_wrap_pad"),
    "three places dimensions": ("test_averagepool_3d_*", "test_maxpool_3d_*"),
    "averages over fewer places at the border": (
        "test_averagepool_2d_pads", "test_averagepool_2d_same_*", "test_averagepool_2d_precomputed_pads",
        "test_averagepool_2d_precomputed_same_upper", "test_averagepool_2d_ceil*",
    ),
    "nothing to read, or nothing that is left": (
        "test_slice_start_out_of_bounds", "test_reduce_*_empty_set*", "test_split_zero_size_splits_*",
    ),
    "windows with gaps": ("test_averagepool_2d_dilations", "test_maxpool_2d_dilations"),
    "places in another order, or more than one output": (
        "test_maxpool_with_argmax_2d_*", "test_batchnorm_*_training_mode",
    ),
    "random numbers of a training, or a mask of them": ("test_training_dropout*", "test_dropout_default_mask*"),
    "rows of a batch that are mixed or cut": (
        "test_argmax_default_axis_*", "test_argmax_*_random*", "test_*[!e]_axis_0",
        "test_concat_2d_axis_negative_2", "test_concat_3d_axis_negative_3", "test_concat_1d_*", "test_flatten_axis0",
        "test_flatten_axis[23]", "test_flatten_negative_axis[124]", "test_gemm_transposeA",
        "test_gemm_all_attributes", "test_gemm_default_matrix_bias", "test_reduce_*_default_axes_*",
        "test_reshape_reordered_all_dims", "test_reshape_one_dim",
        "test_reshape_allowzero_reordered", "test_slice", "test_slice_neg_steps", "test_slice_negative_axes",
        "test_slice_default_*", "test_squeeze", "test_gather_0", "test_gather_negative_indices",
        "test_split_*_1d_*", "test_split_*_default_axis_*", "test_split_1d_*",
    ),
    "a reduction that does nothing": ("test_reduce_sum_empty_axes_input_noop*",),
    "the last index of a tie": ("test_argmax_*_select_last_index",),
    "more than a channel and two places dimensions": (
        "test_unsqueeze_two_axes", "test_unsqueeze_three_axes", "test_unsqueeze_unsorted_axes",
        "test_unsqueeze_negative_axes", "test_matmul_1d_*", "test_matmul_[34]d*", "test_matmul_bcast",
        "test_qlinearmatmul_3D_*", "test_gather_2d_indices",
    ),
    "an order of elements that no three nested loops copy": ("test_reshape_reordered_last_dims", "test_gather_1"),
    "a softmax over something else than classes": (
        "test_*softmax_axis_2", "test_*softmax_negative_axis", "test_*softmax_default_axis",
    ),
    "constants that differ within a channel, or from row to row": (
        "test_*_bcast", "test_prelu_*", "test_pow", "test_pow_example", "test_pow_bcast_array",
        "test_pow_types_float32_*",
    ),
    "limits that leave nothing between them": ("test_clip_min_greater*",),
    "a gate that resets before the recurrent matrix, and gates that see the cell": (
        "test_gru_*", "test_lstm_with_peepholes",
    ),
    "scales per block or per channel of an activation": (
        "test_*quantizelinear_blocked*", "test_*quantizelinear_axis", "test_quantizelinear_*int[24]",
    ),
    "sequences and optional values": ("test_identity_sequence", "test_identity_opt"),
}  # fmt: skip
"""Cases of covered operators that do not apply, by the reason; patterns of their names."""


@pytest.fixture(scope="module")
def every() -> dict[str, Case]:
    return cases()


def excluded(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for patterns in EXCLUDED.values() for pattern in patterns)


def test_every_case_that_applies_is_within_a_step(every):
    wrong = {}
    applies = [name for name in every if not excluded(name)]
    for name in applies:
        error = worst(every[name])
        if error > 1.0001:
            wrong[name] = error
    assert not wrong
    assert len(applies) >= 180
    kinds = {every[name].kind for name in applies}
    assert kinds >= {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QuantizeLinear"}
    assert kinds >= {"Conv", "Gemm", "RNN", "LSTM"}


def test_what_does_not_apply_is_refused_in_words(every):
    left_out = [name for name in every if excluded(name)]
    assert [name for name in left_out if not refusal(every[name])] == []


def test_no_reason_is_out_of_date(every):
    patterns = [pattern for listed in EXCLUDED.values() for pattern in listed]
    assert [p for p in patterns if not any(fnmatchcase(name, p) for name in every)] == []
