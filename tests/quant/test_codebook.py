import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitq.core.errors import ConfigError
from bitq.quant.codebook import CODEBOOKS, FOR_BITS, codebook

BOOKS = pytest.mark.parametrize("book", CODEBOOKS.values(), ids=lambda b: b.name)
values = st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=20)


def codes(book) -> torch.Tensor:
    return torch.arange(book.lowest, book.dtype.high + 1, book.dtype.step).float()


@BOOKS
@given(u=values)
def test_nearest_is_the_nearest_code(book, u):
    u = torch.tensor(u)
    nearest = book.nearest(u)
    distances = (u[:, None] - codes(book)).abs()
    assert torch.isin(nearest, codes(book)).all()
    assert torch.allclose((u - nearest).abs(), distances.min(dim=1).values, rtol=1e-6)


@BOOKS
def test_a_value_midway_goes_up(book):
    middles = (codes(book)[1:] + codes(book)[:-1]) / 2
    assert torch.equal(book.nearest(middles), codes(book)[1:])


@BOOKS
def test_codes_are_symmetric_so_that_a_sign_can_be_flipped(book):
    assert torch.equal(codes(book), -codes(book).flip(0))


@BOOKS
def test_the_scale_is_the_best_for_gaussian_weights(book):
    w = torch.randn(400_000, 1, generator=torch.Generator().manual_seed(1)).reshape(2, -1)
    scale = book.scale(w, per_channel=False)

    def error(factor: float) -> float:
        s = scale * factor
        return float((w - book.nearest(w / s) * s).square().mean())

    if book.spread == 0:
        assert float((w / scale).abs().max()) == pytest.approx(book.dtype.high)
    else:
        best = min((error(f), f) for f in [0.8 + 0.02 * i for i in range(21)])[1]
        assert best == pytest.approx(1.0, abs=0.021)


@BOOKS
def test_a_channel_has_the_scale_that_it_would_have_alone(book):
    w = torch.randn(3, 4, 2, 2) * torch.tensor([0.1, 1.0, 10.0])[:, None, None, None]
    scale = book.scale(w, per_channel=True)
    assert scale.shape == (3, 1, 1, 1)
    for row, s in zip(w, scale, strict=True):
        assert torch.allclose(book.scale(row[None], per_channel=False), s)


@BOOKS
def test_weights_of_zero_have_a_scale(book):
    w = torch.zeros(2, 3)
    for per_channel in (False, True):
        u = w / book.scale(w, per_channel=per_channel)
        assert torch.isfinite(book.nearest(u)).all()


def test_every_width_has_a_codebook_of_that_width():
    assert [codebook(FOR_BITS[bits]).bits for bits in FOR_BITS] == list(FOR_BITS)
    widths = [len(codes(codebook(FOR_BITS[bits]))) for bits in (1, 2, 3, 4)]
    assert widths == [2, 4, 8, 16]


def test_an_n_bit_code_is_a_sum_of_n_bipolar_planes():
    for bits in (1, 2, 3, 4):
        sums = {sum(s * 2**i for i, s in enumerate(signs)) for signs in itertools.product((-1, 1), repeat=bits)}
        assert sorted(sums) == codes(codebook(FOR_BITS[bits])).tolist()


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'bipolr'.*Did you mean 'bipolar'"):
        codebook("bipolr")
