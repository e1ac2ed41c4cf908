from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.search.knapsack import allocate

MATRICES = ("a", "b", "c")


@st.composite
def tables(draw):
    choice = st.dictionaries(st.sampled_from([1, 2, 4, 8]), st.integers(0, 30), min_size=1)
    sizes = {m: draw(choice) for m in MATRICES}
    losses = {m: {b: draw(st.integers(-5, 20)) for b in sizes[m]} for m in MATRICES}
    return losses, sizes


@given(tables(), st.integers(-1, 90))
def test_it_finds_what_trying_everything_finds(table, budget):
    losses, sizes = table
    every = [dict(zip(MATRICES, bits, strict=True)) for bits in product(*(losses[m] for m in MATRICES))]

    def total(numbers, bits):
        return sum(numbers[m][bits[m]] for m in MATRICES)

    fitting = [bits for bits in every if total(sizes, bits) <= budget]
    found = allocate(losses, sizes, budget)
    if not fitting:
        assert found is None
        return
    assert total(sizes, found) <= budget
    best = min((total(losses, bits), total(sizes, bits)) for bits in fitting)
    assert (total(losses, found), total(sizes, found)) == best


def test_many_matrices_are_no_problem():
    losses = {f"m{i}": {b: 1.0 / (b * (i + 1)) for b in (1, 2, 4, 8)} for i in range(40)}
    sizes = {m: {b: 100 * b for b in choices} for m, choices in losses.items()}
    bits = allocate(losses, sizes, 16_000)
    assert sum(bits.values()) <= 160
    assert bits["m0"] == 8
    assert sorted(bits.values(), reverse=True) == list(bits.values())


@pytest.mark.parametrize("budget", [0, 5])
def test_no_matrices_need_no_bits(budget):
    assert allocate({}, {}, budget) == {}
