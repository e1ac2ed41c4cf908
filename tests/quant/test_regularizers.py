"""Forces against the derivatives of the potentials in their docstrings, and worked by hand on every codebook."""

import pytest
import torch

from bitq.quant.codebook import CODEBOOKS
from bitq.quant.regularizers import REGULARIZERS, local

POTENTIALS = {
    "hq": lambda v: torch.where(v.abs() <= 1, (v**2 - 1) ** 2 / 8, (v.abs() - 1) ** 2 / 2),
    "msqe": lambda v: (v.abs() - 1) ** 2 / 2,
}


def test_every_regularizer_has_its_potential_here():
    assert set(POTENTIALS) == set(REGULARIZERS)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_the_force_is_the_derivative_of_the_potential(name):
    v = torch.linspace(-3, 3, 1000, dtype=torch.float64).requires_grad_()  # without 0, where msqe is kinked
    POTENTIALS[name](v).sum().backward()
    assert torch.allclose(REGULARIZERS[name](v.detach()), v.grad)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_nothing_moves_at_a_codeword_and_everything_towards_one(name):
    force = REGULARIZERS[name]
    assert torch.equal(force(torch.tensor([-1.0, 1.0])), torch.zeros(2))
    v = torch.tensor([-2.5, -1.2, -0.6, -0.1, 0.1, 0.6, 1.2, 2.5])
    moved = v - 0.2 * force(v)
    nearest = torch.where(v < 0, -1.0, 1.0)
    assert ((moved - nearest).abs() < (v - nearest).abs()).all()
    assert torch.allclose(force(-v), -force(v))


def test_hq_has_no_force_midway():
    assert float(REGULARIZERS["hq"](torch.zeros(1))) == 0


@pytest.mark.parametrize(
    ("book", "u", "v", "hq", "msqe"),
    [
        ("bipolar", 0.5, 0.5, -0.1875, -0.5),
        ("bipolar", -0.5, -0.5, 0.1875, 0.5),
        ("bipolar", 3.0, 3.0, 2.0, 2.0),
        ("ternary", 0.25, -0.5, 0.1875, 0.5),  # between 0 and 1: middle 0.5, half distance 0.5
        ("ternary", -0.75, -0.5, 0.1875, 0.5),
        ("ternary", 1.5, 2.0, 1.0, 1.0),
        ("odd2", 0.5, 0.5, -0.1875, -0.5),
        ("odd2", 2.5, 0.5, -0.1875, -0.5),  # between 1 and 3
        ("odd2", -4.0, -2.0, -1.0, -1.0),
        ("odd3", 6.5, 0.5, -0.1875, -0.5),
        ("odd3", 9.0, 3.0, 2.0, 2.0),
        ("odd4", -13.5, 0.5, -0.1875, -0.5),  # between −15 and −13
        ("odd4", 15.0, 1.0, 0.0, 0.0),
        ("int8", 3.25, -0.5, 0.1875, 0.5),
        ("int8", 127.0, 1.0, 0.0, 0.0),
    ],
)
def test_worked_by_hand(book, u, v, hq, msqe):
    place = local(torch.tensor([u]), CODEBOOKS[book])
    assert float(place) == pytest.approx(v)
    assert float(REGULARIZERS["hq"](place)) == pytest.approx(hq)
    assert float(REGULARIZERS["msqe"](place)) == pytest.approx(msqe)


@pytest.mark.parametrize("book", CODEBOOKS.values(), ids=lambda b: b.name)
def test_the_local_place_is_at_most_one_inside_the_range(book):
    u = torch.linspace(book.lowest, book.dtype.high, 999)
    v = local(u, book)
    assert float(v.abs().max()) <= 1 + 1e-4
    distance = (u - book.nearest(u)).abs() / (book.dtype.step / 2)
    assert torch.allclose((v.abs() - 1).abs(), distance, atol=1e-4)
