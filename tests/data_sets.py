"""Small made-up tasks, one of each kind, and files that hold some."""

import gzip
import struct
from pathlib import Path

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


def spirals(rows: int = 300) -> Dataset:
    """Return two real targets, of different size and offset, of four inputs."""
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        x = rng.integers(-100, 101, (count, 4)).astype(np.int8)
        u = x / 50
        y = np.stack([100 + 5 * np.sin(u[:, 0]) + 3 * u[:, 1] * u[:, 2], 40 * u[:, 3] - 20], axis=1)
        return Split(x, y.astype(np.float32))

    parts = (split(rows), split(80), split(80))
    return Dataset(
        "spirals", "builtin", "none", True, (), InputSpec((4,), 1 / 50, 0), (), *parts, "mae", (), task="regression"
    )


def waves(rows: int = 300) -> Dataset:
    """Return sine waves over two channels as normal rows, and ones with a disturbance as anomalies."""
    rng = np.random.default_rng(0)
    time = np.arange(12) / 3

    def split(count: int, bad: int) -> Split:
        wave = np.sin(time + rng.uniform(0, 6, (count, 1)))
        x = np.stack([wave, 0.5 * wave], axis=1) + rng.normal(0, 0.03, (count, 2, 12))
        x[:bad, :, 5:8] += rng.choice([-1.0, 1.0], (bad, 1, 1))
        return Split(np.clip(x * 60, -127, 127).astype(np.int8), (np.arange(count) < bad).astype(np.int64))

    parts = (split(rows, 0), split(80, 20), split(80, 20))
    names, spec = ("normal", "anomaly"), InputSpec((2, 12), 1 / 40, 0)
    return Dataset("waves", "builtin", "none", True, names, spec, (), *parts, "auc", (1.0, 1.0), task="anomaly")


def saved(folder: Path, data: Dataset) -> str:
    """Write a dataset as an ``.npz`` and return the override that names it."""
    path = folder / "data.npz"
    parts = {"train": data.train, "val": data.val, "test": data.test}
    np.savez(path, **{f"x_{k}": s.x for k, s in parts.items()}, **{f"y_{k}": s.y for k, s in parts.items()})
    return f"data.path={path}"


def write_mnist(root: Path) -> None:
    """Write files of MNIST's form; all pixels of a row hold its number modulo 256, images plain, labels gzipped."""
    (root / "mnist").mkdir()
    for part, rows in (("train", 60_000), ("t10k", 10_000)):
        images = np.repeat(np.arange(rows, dtype=np.uint32).astype(np.uint8), 784)
        labels = (np.arange(rows) % 10).astype(np.uint8)
        head = struct.pack(">4B3I", 0, 0, 8, 3, rows, 28, 28)
        (root / f"mnist/{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        content = struct.pack(">4BI", 0, 0, 8, 1, rows) + labels.tobytes()
        (root / f"mnist/{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content, 1))
