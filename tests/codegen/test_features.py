"""The statistics of `runtime/bitq_features.c`, called directly, against the reference and against numpy's own."""

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitq.codegen.emit import runtime_text
from bitq.device.compiler import STRICT, host_compiler
from bitq.ir.ops import Features
from bitq.ir.ops.features import KINDS, LONGEST
from bitq.ir.types import INT8, INT16, TensorType


class Statistics(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint16) for name in ("skipped", "window", "channels", "windows")),
        ("kinds", ctypes.c_uint8),
        ("shift", ctypes.c_uint8 * len(KINDS)),
        ("flip", ctypes.c_uint8),
    )


@pytest.fixture(scope="module", params=["auto", "zig"])
def function(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    for name in ("bitq.h", "bitq_features.c"):
        (folder / name).write_text(runtime_text(name))
    library = folder / "features.so"
    host_compiler(request.param).build(
        ["-O2", "-fPIC", "-shared", "-fsanitize=undefined", "-fno-sanitize-recover=all", *STRICT]
        if request.param == "auto"
        else ["-Os", "-fPIC", "-shared", *STRICT],
        [folder / "bitq_features.c"],
        library,
    )
    return ctypes.CDLL(str(library)).bitq_features


def signals(rng, time, channels):
    """Return random signals, and those that reach furthest: constant, alternating, and one step."""
    rows = rng.integers(-128, 128, (8, 1, time, channels)).astype(np.int8)
    rows[0], rows[1], rows[2] = -128, 127, 0
    rows[3] = np.where(np.arange(time) % 2 == 0, -128, 127)[None, :, None]
    rows[4] = np.where(np.arange(time) < time // 2, -128, 127)[None, :, None]
    rows[5] //= 32
    return rows


def operation(window, windows, kinds):
    return Features(
        name="features",
        inputs=("input",),
        out=TensorType((1,), INT16, 1.0),
        window=window,
        windows=windows,
        kinds=tuple(kind for kind in KINDS if kind in kinds),
    )


@settings(max_examples=20, deadline=None)
@given(
    st.integers(2, LONGEST),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 9),
    st.sets(st.sampled_from(KINDS), min_size=1),
    st.booleans(),
)
def test_c_equals_the_reference(function, window, windows, channels, skipped, kinds, inner):
    op = operation(window, windows, kinds)
    time = skipped + window * windows
    x = signals(np.random.default_rng(window), time, channels)
    expected = op.evaluate([x.astype(np.int64)], [TensorType(x.shape[1:], INT8, 1.0)])
    assert INT16.allows(expected)
    shifts = (ctypes.c_uint8 * len(KINDS))(*(op.shifts[kind] for kind in KINDS))
    bits = sum(1 << bit for bit, kind in enumerate(KINDS) if kind in kinds)
    layer = Statistics(skipped * channels, window, channels, windows, bits, shifts, 0 if inner else 0x80)
    held = np.ascontiguousarray(x).view(np.uint8) ^ (0x80 if inner else 0)
    for row, wanted in zip(held, expected, strict=True):
        got = np.zeros(len(wanted), np.int16)
        function(ctypes.byref(layer), row.ctypes.data_as(ctypes.c_void_p), got.ctypes.data_as(ctypes.c_void_p))
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("window", [2, 50, LONGEST])
def test_features_are_numpys_definitions_in_whole_numbers(window):
    op = operation(window, 2, KINDS)
    x = signals(np.random.default_rng(0), 2 * window, 3)
    found = op.evaluate([x.astype(np.int64)], []).reshape(len(x), 2, 3, len(KINDS))
    v = x.astype(float).reshape(len(x), 2, window, 3)
    wanted = {
        "mean": window * v.mean(axis=2),
        "std": window * v.std(axis=2),
        "rms": window * np.sqrt((v**2).mean(axis=2)),
        "min": v.min(axis=2),
        "max": v.max(axis=2),
        "range": np.ptp(v, axis=2),
        "crossings": np.abs(np.diff(np.sign(v + 0.5), axis=2)).sum(axis=2) / 2,
        "difference": (window - 1) * np.abs(np.diff(v, axis=2)).mean(axis=2),
    }
    for column, kind in enumerate(KINDS):
        exact = found[..., column] / 2 ** op.shifts[kind]
        error = wanted[kind] - exact
        assert (error > -1e-6).all(), kind  # rounded down, roots only
        assert (error < (1 if kind in ("std", "rms") else 1e-6)).all(), kind
