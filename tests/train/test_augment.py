"""Distortions: none at amount 0, the same for the same generator, within the stated ranges, mild in content."""

import torch

from bitq.train.augment import SHIFT, distort


def images() -> torch.Tensor:
    x = torch.zeros(40, 1, 24, 24)
    x[:, :, 8:16, 8:16] = 1.0
    return x


def centre(x: torch.Tensor) -> torch.Tensor:
    places = torch.arange(24.0)
    mass = x.sum((1, 2, 3))
    return torch.stack([(x.sum((1, 2)) * places).sum(1), (x.sum((1, 3)) * places).sum(1)], 1) / mass[:, None]


def test_no_amount_leaves_images_as_they_are():
    x = torch.rand(5, 2, 9, 7)
    assert torch.allclose(distort(x, 0.0, torch.Generator().manual_seed(1)), x, atol=1e-5)


def test_the_generator_decides():
    x = images()
    first, again, other = (distort(x, 1.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert len({tuple(row.flatten().tolist()) for row in first}) == len(first)


def test_what_stands_in_the_middle_moves_by_the_shift_at_most_and_keeps_its_size():
    moved = distort(images(), 1.0, torch.Generator().manual_seed(3))
    away = (centre(moved) - centre(images())).abs()
    assert 0.5 * SHIFT < float(away.max()) < SHIFT * 1.15  # scaled by up to 8 %, and bilinear
    assert float((moved.sum((1, 2, 3)) / 64 - 1).abs().max()) < 0.2


def test_the_border_continues_outside():
    assert torch.allclose(
        distort(torch.full((3, 1, 8, 8), 0.7), 4.0, torch.Generator().manual_seed(0)), torch.tensor(0.7)
    )
