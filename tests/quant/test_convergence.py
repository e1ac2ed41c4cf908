import pytest
import torch
from torch import nn

from bitq.quant.codebook import CODEBOOKS
from bitq.quant.config import MethodConfig
from bitq.quant.convergence import BINS, Watched, entropy, measure
from bitq.quant.matrix import Matrix


def matrix(values: list[float], book: str = "bipolar") -> Matrix:
    weight = nn.Parameter(torch.tensor([values]))
    return Matrix("w", CODEBOOKS[book], weight, MethodConfig(freeze="none"), 1)


def test_figures_worked_by_hand():
    # mean|w| 1; distances 0, 0.008, 0.04 and 0.448 of a codeword distance of 2
    w = matrix([1.0, 1.016, -1.08, -0.904])
    watched = Watched(w)
    figures = watched.measure()
    assert [figures[f"within_{k}pct"] for k in ("0_5", "1", "2_5", "5")] == [0.25, 0.5, 0.5, 1.0]
    assert figures["msqe"] == pytest.approx((0.008**2 + 0.04**2 + 0.048**2) / 4, rel=1e-3)
    assert (figures["flips"], figures["mid_mass"], figures["balance"], figures["entropy"]) == (0, 0, 0, 1)
    w.parameter.data.copy_(torch.tensor([[0.2, 3.8, 3.0, 1.0]]))
    figures = watched.measure()
    assert figures["flips"] == 0.5
    assert figures["mid_mass"] == 0.25
    assert figures["balance"] == 1
    assert figures["entropy"] == 0
    assert figures["scale_drift"] == pytest.approx(2)


@pytest.mark.parametrize("book", CODEBOOKS)
def test_the_entropy_of_a_codebook_in_even_use_is_its_logarithm(book):
    codes = torch.arange(CODEBOOKS[book].lowest, CODEBOOKS[book].dtype.high + 1, CODEBOOKS[book].dtype.step).float()
    assert entropy(codes.repeat(3)) == pytest.approx(torch.log2(torch.tensor(len(codes))).item(), rel=1e-5)


def test_means_are_over_all_weights_below_eight_bits():
    small, large, fine = matrix([1.0, 1.0]), matrix([0.5, 1.5, 1.0, 1.0, 1.0, 1.0]), matrix([0.3, 0.9], "int8")
    log = measure([Watched(small), Watched(large), Watched(fine)])
    assert log["weights/within_1pct"] == pytest.approx(6 / 8)
    assert "weights/within_1pct" not in measure([Watched(fine)])


def test_what_goes_to_and_fro_oscillates_and_settles_when_it_last_changed():
    w = matrix([1.0, 1.0, 1.0, 1.0])
    watched = Watched(w)
    oscillation = []
    for signs in ([-1, 1, 1, 1], [1, -1, 1, 1], [-1, -1, 1, 1], [-1, -1, 1, 1]):
        w.parameter.data.copy_(torch.tensor([signs]))
        oscillation.append(watched.measure()["oscillation"])
    assert oscillation == [0, 0.25, 0.25, 0]
    assert watched.settled() == [0.5, 0.75, 1.0, 1.0]
    assert [h.sum() for h in watched.histograms] == [4] * 4
    assert watched.histograms[0].shape == (BINS,)
