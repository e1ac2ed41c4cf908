"""The learned scale: its gradient is that of LSQ's forward pass under autograd, and it stays positive."""

import pytest
import torch

from bitq.quant.codebook import CODEBOOKS
from bitq.quant.learned import LearnedScale, inside


@pytest.mark.parametrize("book", [CODEBOOKS[name] for name in ("bipolar", "ternary", "odd2", "odd4")])
def test_its_gradient_is_that_of_the_rounded_weights_under_autograd(book):
    torch.manual_seed(0)
    w, gradient = torch.randn(6, 5), torch.randn(6, 5)
    learned = LearnedScale(torch.full((1, 1), 0.6), book)
    learned.learn(w, gradient)

    scale = torch.tensor(0.6, requires_grad=True)
    u = w / scale
    straight = u + (book.nearest(u) - u).detach()
    rounded = torch.where(inside(u, book) > 0, straight, book.nearest(u).detach()) * scale
    (rounded * gradient).sum().backward()
    expected = scale.grad / (w.numel() * book.dtype.high) ** 0.5
    assert torch.allclose(learned.parameter.grad, expected.reshape(1, 1), atol=1e-6)


def test_a_weight_beyond_the_range_moves_the_scale_by_the_outermost_code():
    book = CODEBOOKS["odd2"]
    learned = LearnedScale(torch.ones(1, 1), book)
    learned.learn(torch.tensor([[10.0]]), torch.tensor([[2.0]]))
    assert learned.parameter.grad.item() == pytest.approx(3 * 2 / 3**0.5)


def test_it_never_crosses_zero():
    learned = LearnedScale(torch.full((1, 1), 0.5), CODEBOOKS["bipolar"])
    learned.parameter.data.fill_(-3.0)
    assert learned.value.item() > 0
