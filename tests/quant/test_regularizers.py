"""Forces against the derivatives of the potentials in their docstrings, and worked by hand on every codebook."""

import math

import pytest
import torch

from bitq.quant.codebook import CODEBOOKS
from bitq.quant.config import MethodConfig
from bitq.quant.matrix import Matrix
from bitq.quant.regularizers import REGULARIZERS, local

POTENTIALS = {
    "hq": lambda v: torch.where(v.abs() <= 1, (v**2 - 1) ** 2 / 8, (v.abs() - 1) ** 2 / 2),
    "msqe": lambda v: (v.abs() - 1) ** 2 / 2,
    "l1": lambda v: (v.abs() - 1).abs(),
    "dampen": lambda v: (1 - v.abs()).clamp_min(0) ** 2 / 2,
    "double_well": lambda v: (v**2 - 1) ** 2 / 8,
    "cosine": lambda v: torch.where(
        v.abs() <= 1, (1 + torch.cos(math.pi * v)) / 2, math.pi**2 * (v.abs() - 1) ** 2 / 4
    ),
    "sin": lambda v: torch.sin(math.pi * (v - 1) / 2) ** 2,
}
FORCES = {name: regularizer.force for name, regularizer in REGULARIZERS.items()}
BOOKS = pytest.mark.parametrize("book", CODEBOOKS.values(), ids=lambda b: b.name)


def matrix(book, u) -> Matrix:
    """A matrix of scale 1/largest code with weights at the given places."""
    weight = torch.nn.Parameter(torch.as_tensor(u, dtype=torch.float32)[None] / book.dtype.high)
    return Matrix("w", book, weight, MethodConfig(scale="none", freeze="none"), 1)


def test_every_regularizer_has_its_potential_here():
    assert set(POTENTIALS) == set(REGULARIZERS)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_the_force_is_the_derivative_of_the_potential(name):
    v = torch.linspace(-3, 3, 1000, dtype=torch.float64).requires_grad_()  # without 0, where msqe is kinked
    POTENTIALS[name](v).sum().backward()
    assert torch.allclose(FORCES[name](v.detach()), v.grad)


@pytest.mark.parametrize("name", REGULARIZERS)
@BOOKS
def test_on_every_codebook_a_step_is_descent_on_the_potential(name, book):
    u = torch.linspace(book.lowest - 2, book.dtype.high + 2, 501, dtype=torch.float64).requires_grad_()
    half = book.dtype.step / 2
    places = (torch.arange(book.lowest, book.dtype.high, book.dtype.step, dtype=torch.float64) + half)[:, None]
    v = (u - places) / half  # around every midpoint; the nearest one counts
    POTENTIALS[name](v.gather(0, v.abs().argmin(dim=0, keepdim=True))).sum().backward()
    away = (v.abs().amin(dim=0) > 1e-6) & ((v.abs().amin(dim=0) - 1).abs() > 1e-6)
    assert torch.allclose(FORCES[name](local(u.detach(), book))[away], u.grad[away] * half, atol=1e-6)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_nothing_moves_at_a_codeword_and_everything_towards_one(name):
    force = FORCES[name]
    assert torch.allclose(force(torch.tensor([-1.0, 1.0])), torch.zeros(2), atol=1e-6)
    v = torch.tensor([-0.6, -0.1, 0.1, 0.6])
    if name not in ("dampen", "sin"):  # which leave weights beyond the range alone, or hold them there
        v = torch.cat([v, torch.tensor([-2.5, -1.2, 1.2, 2.5])])
    moved = v - 0.1 * force(v)
    nearest = torch.where(v < 0, -1.0, 1.0)
    assert ((moved - nearest).abs() < (v - nearest).abs()).all()
    assert torch.allclose(force(-v), -force(v))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_smooth_means_that_the_force_is_continuous_at_the_midpoint(name):
    below, above = FORCES[name](torch.tensor([-1e-6, 1e-6])).tolist()
    assert (abs(above - below) < 1e-4) == REGULARIZERS[name].smooth


@pytest.mark.parametrize("name", REGULARIZERS)
@pytest.mark.parametrize("amount", [0.01, 0.5])
@pytest.mark.parametrize("book", [b for b in CODEBOOKS.values() if b.spread], ids=lambda b: b.name)
def test_no_step_passes_the_codeword(name, amount, book):
    weights = matrix(book, torch.linspace(book.lowest - 9, book.dtype.high + 9, 400))
    code = weights.codes()
    before = weights.place() - code
    weights.pull(REGULARIZERS[name], amount)
    after = weights.place() - code
    half = book.dtype.step / 2
    clear = (before.abs() - half).abs() > 1e-3  # midway, the side is a matter of rounding
    if name == "sin":  # moves weights far beyond the range to codewords that do not exist
        clear &= before.abs() <= half
    before, after = before[clear], after[clear]
    assert (after.abs() <= before.abs() + 1e-4).all()
    assert (after * before >= -1e-3).all()


def test_the_step_of_l1_is_the_proximal_operator_of_proxquant():
    book, amount = CODEBOOKS["bipolar"], 0.3
    w = torch.linspace(-3, 3, 100)
    weights = matrix(book, w)
    weights.pull(REGULARIZERS["l1"], amount)
    q = torch.where(w < 0, -1.0, 1.0)
    expected = q + torch.sign(w - q) * torch.relu((w - q).abs() - amount)
    assert torch.allclose(weights.data[0], expected, atol=1e-6)


def test_r2_of_bnn_plus_is_twice_msqe():
    w, alpha = torch.tensor([0.3, -1.7], requires_grad=True), 1.0
    ((alpha - w.abs()) ** 2).sum().backward()
    assert torch.allclose(w.grad, 2 * FORCES["msqe"](w.detach()))


@pytest.mark.parametrize(
    ("name", "v", "force"),
    [
        ("l1", 0.25, -1.0),
        ("l1", -1.5, -1.0),
        ("dampen", 0.25, -0.75),
        ("dampen", 1.5, 0.0),
        ("double_well", 0.5, -0.1875),
        ("double_well", 3.0, 12.0),
        ("cosine", 0.5, -math.pi / 2),
        ("cosine", 2.0, math.pi**2 / 2),
        ("sin", 0.5, -math.pi / 2),
        ("sin", 2.5, -math.pi / 2),
    ],
)
def test_forces_worked_by_hand(name, v, force):
    assert float(FORCES[name](torch.tensor([v]))) == pytest.approx(force, abs=1e-5)


def test_hq_has_no_force_midway():
    assert float(FORCES["hq"](torch.zeros(1))) == 0


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
    assert float(FORCES["hq"](place)) == pytest.approx(hq)
    assert float(FORCES["msqe"](place)) == pytest.approx(msqe)


@pytest.mark.parametrize("book", CODEBOOKS.values(), ids=lambda b: b.name)
def test_the_local_place_is_at_most_one_inside_the_range(book):
    u = torch.linspace(book.lowest, book.dtype.high, 999)
    v = local(u, book)
    assert float(v.abs().max()) <= 1 + 1e-4
    distance = (u - book.nearest(u)).abs() / (book.dtype.step / 2)
    assert torch.allclose((v.abs() - 1).abs(), distance, atol=1e-4)
