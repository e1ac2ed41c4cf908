"""A small made-up classification task."""

import numpy as np

from bitq.data.dataset import Dataset, InputSpec, Split


def blobs(rows: int = 240, *, classes: int = 3, shape: tuple[int, ...] = (6,), metric: str = "accuracy") -> Dataset:
    """Return rows around one center per class, easy to tell apart."""
    rng = np.random.default_rng(0)
    centers = rng.integers(-60, 60, (classes, *shape))

    def split(count: int) -> Split:
        y = np.arange(count) % classes
        return Split(np.clip(centers[y] + rng.normal(0, 20, (count, *shape)), -128, 127).astype(np.int8), y)

    names = tuple(f"c{i}" for i in range(classes))
    parts = (split(rows), split(60), split(60))
    return Dataset(
        "blobs", "builtin", "none", True, names, InputSpec(shape, 1 / 64, 0), (), *parts, metric, (1.0,) * classes
    )
