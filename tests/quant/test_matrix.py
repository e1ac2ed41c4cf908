"""One matrix: the swap loses nothing, frozen weights are on their codeword for good, rounding is exact."""

import pytest
import torch
from torch import nn

from bitq.quant.codebook import CODEBOOKS
from bitq.quant.config import MethodConfig
from bitq.quant.forwards import Moment
from bitq.quant.matrix import Matrix

BOOKS = pytest.mark.parametrize("book", CODEBOOKS)
NOW = Moment(0.5, 0.75)


def matrix(book: str, forward: str = "ste") -> Matrix:
    torch.manual_seed(0)
    method = MethodConfig(forward=forward, regularizer="none", freeze="all")
    return Matrix("w", CODEBOOKS[book], nn.Parameter(torch.randn(7, 9)), method, 1)


@BOOKS
def test_showing_and_hiding_brings_back_every_bit(book):
    under = matrix(book)
    latent = under.parameter.data.clone()
    under.show(NOW)
    assert not torch.equal(under.parameter.data, latent)
    assert torch.equal(under.data, latent)
    under.show(NOW)
    under.hide()
    under.hide()
    assert torch.equal(under.parameter.data, latent)


@BOOKS
def test_the_network_sees_codes_times_scale(book):
    under = matrix(book)
    codes, scale = under.codes(), under.scale().clone()
    under.show(NOW)
    assert torch.equal(under.parameter.data, codes * scale)


@BOOKS
def test_frozen_weights_stay_where_they_are(book):
    under = matrix(book)
    under.freeze(1.0)
    held = under.data.clone()
    assert under.done
    under.data.add_(torch.randn(7, 9))
    under.hold()
    assert torch.equal(under.data, held)
    rounded = under.round()
    assert torch.equal(under.parameter.data, held)
    assert under.parameter.requires_grad
    assert CODEBOOKS[book].dtype.allows(rounded.codes)


def test_a_partial_freeze_holds_those_near_and_frees_the_others():
    under = matrix("bipolar", forward="float")
    near = under.distance() * 2 <= 0.3
    assert 0 < near.sum() < near.numel()
    under.freeze(0.3)
    before = under.data.clone()
    under.data.add_(0.01)
    under.hold()
    assert torch.equal(under.data == before, near)
    assert not under.done
