"""The arithmetic of recurrent cells against the real functions, and its bounds."""

import re
from pathlib import Path

import numpy as np
import pytest

from bitq.codegen.emit import runtime_text
from bitq.ir.cells import CELL_FRACTIONS, CELLS, FRACTIONS, PART, SHIFTS, TABLE, output, sigmoid, tanh
from bitq.ir.types import INT8, INT32_MAX, UINT8

SUMS = np.arange(-2 * PART, 2 * PART + 1)


@pytest.mark.parametrize("fraction", range(FRACTIONS[0], CELL_FRACTIONS[1] + 1))
def test_tanh_is_close_odd_and_never_falls(fraction):
    got = tanh(SUMS, fraction)
    assert np.abs(got / 32767 - np.tanh(SUMS / 2**fraction)).max() < 2**-10.3
    assert np.array_equal(got, -got[::-1])
    assert (np.diff(got) >= 0).all()
    assert np.abs(got).max() <= TABLE[-1] <= PART


@pytest.mark.parametrize("fraction", range(FRACTIONS[0], FRACTIONS[1] + 1))
def test_a_sigmoid_is_close_and_within_its_ends(fraction):
    got = sigmoid(SUMS, fraction)
    assert np.abs(got / 32768 - 0.5 * (1 + np.tanh(SUMS / 2 ** (fraction + 1)))).max() < 2**-11.3
    assert 0 < got.min() <= got.max() < 32768


def test_the_table_in_c_is_the_table():
    text = re.search(r"bitq_curve\[65\] = \{(.*?)\}", runtime_text("bitq_curve.c"), re.DOTALL)
    assert [int(word) for word in text[1].split(",") if word.strip()] == TABLE.tolist()


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_stays_within_its_bounds_in_the_worst_case(name):
    cell = CELLS[name]
    assert cell.largest <= INT32_MAX
    rng = np.random.default_rng(0)
    a, b = rng.choice([-PART, PART, 0, 1, -1, 5000], (2, 20000, cell.gates, 1))
    for cell_fraction in CELL_FRACTIONS:
        state = rng.choice([-PART, PART, 0, 1000], (20000, 1))
        for _ in range(4):
            state, result = cell.step(a, b, state, 12, cell_fraction)
            assert np.abs(state).max() <= PART
            assert np.abs(result).max() <= 2 * PART


def test_an_output_is_rounded_half_up_and_keeps_to_its_type():
    assert output(np.array([-PART, -128, -129, 127, 128, PART]), 8, INT8).tolist() == [-128, 0, -1, 0, 1, 127]
    assert output(np.array([-5, 0, 1, 3, 600]), SHIFTS[0], UINT8).tolist() == [0, 0, 1, 2, 255]


def test_the_cells_have_c_of_their_names():
    runtime = Path(__file__).parents[2] / "bitq" / "codegen" / "runtime"
    assert all((runtime / f"bitq_{name}.c").is_file() for name in CELLS)
