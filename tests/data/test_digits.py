from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from bitq.data.config import DigitsConfig
from bitq.data.load import load


def test_every_digit_is_in_one_split_and_exact() -> None:
    dataset = load(DigitsConfig())
    images, _ = load_digits(return_X_y=True)
    back = np.concatenate([split.x.reshape(len(split), 64) for split in (dataset.train, dataset.val, dataset.test)])
    pixels = (back.astype(int) + 120) / 15
    assert sorted(map(tuple, pixels.tolist())) == sorted(map(tuple, images.tolist()))
    assert dataset.counts == {"train": 1078, "val": 359, "test": 360}


def test_classes_keep_their_share_and_the_seed_decides() -> None:
    dataset = load(DigitsConfig(seed=1))
    shares = [np.bincount(split.y) / len(split) for split in (dataset.train, dataset.val, dataset.test)]
    assert np.abs(shares[0] - shares[1:]).max() < 0.01
    assert dataset.digest() == load(DigitsConfig(seed=1)).digest() != load(DigitsConfig(seed=2)).digest()


def test_input_is_about_standardized() -> None:
    dataset = load(DigitsConfig())
    real = (dataset.train.x - float(dataset.input.zero_point)) * dataset.input.scale
    assert abs(real.mean()) < 0.1
    assert abs(real.std() - 1) < 0.1
