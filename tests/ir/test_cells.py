"""The arithmetic of recurrent cells against the real functions, and its bounds."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bitq.codegen.emit import runtime_text
from bitq.ir.cells import (
    CELL,
    CELL_FRACTIONS,
    CELLS,
    FRACTIONS,
    LONG,
    TABLE,
    Points,
    long_tanh,
    output,
    sigmoid,
    tanh,
)
from bitq.ir.types import INT8, INT32_MAX, UINT8

REACH = 2**30  # of the sums of both parts


def sums(fraction):
    """Return sums that a cell may read, the ones around 0 without a gap."""
    near = np.arange(-(2**15), 2**15)
    return np.unique(np.concatenate([near, near << max(0, fraction - 12), [-REACH, REACH - 1]]))


@pytest.mark.parametrize("fraction", range(FRACTIONS[0], FRACTIONS[1] + 1))
def test_tanh_is_close_and_never_falls(fraction):
    x = sums(fraction)
    got = tanh(x, fraction)
    assert np.abs(got / 2**14 - np.tanh(x / 2**fraction)).max() < 2**-10.3
    assert np.abs(long_tanh(x, fraction) / 2**30 - np.tanh(x / 2**fraction)).max() < 2**-10.3
    assert (np.diff(got) >= 0).all()
    assert np.abs(got).max() <= TABLE[-1] < 2**14


@pytest.mark.parametrize("fraction", range(FRACTIONS[0], FRACTIONS[1] + 1))
def test_a_sigmoid_is_close_and_within_its_ends(fraction):
    x = sums(fraction)
    got = sigmoid(x, fraction)
    assert np.abs(got / 32768 - 0.5 * (1 + np.tanh(x / 2 ** (fraction + 1)))).max() < 2**-11.3
    assert 0 < got.min() <= got.max() < 32768


def test_the_tables_in_c_are_the_table():
    text = runtime_text("bitq_tanh.c") + runtime_text("bitq_curve.c")
    found = [
        re.search(rf"{name} = \{{(.*?),\s*\}}", text, re.DOTALL)[1]
        for name in (r"bitq_points\[65\]", r"bitq_curve\[128\]")
    ]
    points, curve = ([int(word.strip().rstrip("u"), 0) for word in numbers.split(",")] for numbers in found)
    assert points == TABLE.tolist()
    signed = [-value for value in points[:0:-1]] + points
    assert curve == [(16384 + a << 16) + 2 * (b - a) for a, b in pairwise(signed)]


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_stays_within_its_bounds_in_the_worst_case(name):
    cell = CELLS[name]
    rng = np.random.default_rng(0)
    most = REACH // 2
    a, b = rng.choice([-most, most, 0, 1, -1, 5000], (2, 20000, cell.gates, 1))
    ends = {"gru": 1 << LONG}.get(name, CELL)
    for cell_fraction in CELL_FRACTIONS:
        state = rng.choice([-CELL, CELL, 0, 1000], (20000, 1))
        for _ in range(4):
            state, result = cell.step(a, b, state, Points(20, cell_fraction, 14))
            assert np.abs(state).max() <= ends
            assert np.abs(result).max() <= INT32_MAX


def test_an_output_is_rounded_half_up_and_keeps_to_its_type():
    assert output(np.array([-CELL, -128, -129, 127, 128, CELL]), 8, INT8).tolist() == [-128, 0, -1, 0, 1, 127]
    assert output(np.array([-5, 0, 1, 3, 600]), 1, UINT8).tolist() == [0, 0, 1, 2, 255]


def test_the_cells_have_c_of_their_names():
    runtime = Path(__file__).parents[2] / "bitq" / "codegen" / "runtime"
    assert all((runtime / f"bitq_{name}.c").is_file() for name in CELLS)
