"""What the example networks learn in tests: recordings under ``BITQ_DATA`` where they are, else a generated task.

Inputs are within ±4 in steps of 1/32.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from bitq.data.config import Face2WakeConfig, MnistConfig
from bitq.data.dataset import Split
from bitq.data.load import load

UNSEEN = 1000
Rows = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Task:
    """Rows to learn, ``(n, *shape)``, with their classes, and 1,000 others.

    Recorded ones are of other people (wrist), of other takes (words) or other pictures.
    """

    source: str
    x: Tensor
    y: Tensor
    unseen: Tensor


def generated(shape: tuple[int, ...], time: int | None, classes: int, seed: int = 0) -> Task:
    """Return sums of six patterns, smooth along time or height, most of it the pattern of the class."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(0, 1, (6, *shape))
    if len(shape) > 1:
        patterns = patterns.cumsum(axis=2 if time is None else time + 1)
    y = rng.integers(0, min(classes, 5), 3 * UNSEEN)
    x = np.tensordot(rng.normal(0, 0.7, (len(y), 6)) + 2 * np.eye(6)[y], patterns, 1)
    x /= x.std()
    return _task("generated", (x[UNSEEN:], y[UNSEEN:]), (x[:UNSEEN], y[:UNSEEN]))


def task(name: str, shape: tuple[int, ...], time: int | None, classes: int) -> Task:
    """Return what a network of the examples is meant for, from recordings where they are."""
    folder, read = _RECORDED[name]
    root = Path(os.environ.get("BITQ_DATA") or "data")
    return _task(folder, *read(root)) if (root / folder).is_dir() else generated(shape, time, classes)


def _task(source: str, seen: Rows, others: Rows) -> Task:
    """Return rows in a drawn order, in whole steps."""
    rng = np.random.default_rng(0)
    order, other = rng.permutation(len(seen[0])), rng.permutation(len(others[0]))[:UNSEEN]
    x, unseen = (
        torch.from_numpy((rows * 32).round().clip(-127, 127)).float() / 32
        for rows in (seen[0][order], others[0][other])
    )
    return Task(source, x, torch.from_numpy(seen[1][order].astype(np.int64)), unseen)


def _glances(root: Path) -> tuple[Rows, Rows]:
    """Return windows of an accelerometer, ``(n, 3, 50)``: glances at the watch, and other movements up to 1,000."""
    dataset = load(Face2WakeConfig(root=str(root)))

    def fewer(split: Split) -> Rows:
        rows = [np.random.default_rng(0).permutation(np.flatnonzero(split.y == label)) for label in (0, 1)]
        chosen = np.concatenate([rows[0][: UNSEEN - min(len(rows[1]), UNSEEN // 2)], rows[1]])
        return split.x[chosen] * 2 * dataset.input.scale, split.y[chosen]

    return fewer(dataset.train), fewer(dataset.val)


def _movements(root: Path) -> tuple[Rows, Rows]:
    """Return windows of accelerometer and gyroscope, ``(n, 6, 50)``, of four activities."""
    data = dict(np.load(root / "wisdm_watch" / "wisdm_watch.npz"))
    kinds = ["walking", "typing", "brushing_teeth", "clapping"]
    signal = np.concatenate([data["acc"] * (data["acc_lsb"] / 10), data["gyr"] * (data["gyr_lsb"] / 2)], axis=1)
    others = np.unique(data["subject"])[::3]
    parts = dict[bool, list[Rows]]({False: [], True: []})
    for start, end, person in zip(data["offsets"], data["offsets"][1:], data["subject"], strict=False):
        name = str(data["label_names"][data["label"][start]])
        if name in kinds:
            windows = signal[start:end][: (end - start) // 50 * 50].reshape(-1, 50, 6)
            parts[bool(person in others)].append((windows.swapaxes(1, 2), np.full(len(windows), kinds.index(name))))
    seen, unseen = ((np.concatenate(x), np.concatenate(y)) for x, y in (zip(*parts[k], strict=True) for k in parts))
    return seen, unseen


def _steps(root: Path) -> tuple[Rows, Rows]:
    """Return the same windows as ``(n, 50, 6)``."""
    seen, unseen = _movements(root)
    return (seen[0].swapaxes(1, 2), seen[1]), (unseen[0].swapaxes(1, 2), unseen[1])


def _spoken(root: Path, features: Callable[[NDArray[Any]], NDArray[Any]]) -> tuple[Rows, Rows]:
    """Return features of the log spectrum ``(frames, 128)`` of spoken digits, standardized; a third is for tests."""
    data = dict(np.load(root / "fsdd" / "fsdd.npz"))
    rows = list[NDArray[Any]]()
    for start, end in zip(data["offsets"], data["offsets"][1:], strict=False):
        sound = np.zeros(8000)
        sound[: end - start] = data["audio"][start:end][:8000] / 2**15
        frames = sliding_window_view(sound, 256)[::160] * np.hanning(256)
        rows.append(features(np.log(np.abs(np.fft.rfft(frames))[:, :128] ** 2 + 1e-6)))
    x, y, test = np.stack(rows), data["digit"], data["take"] < 17
    x = (x - x[~test].mean(axis=0)) / (x[~test].std(axis=0) + 1e-3)
    return (x[~test], y[~test]), (x[test], y[test])


def _words(root: Path) -> tuple[Rows, Rows]:
    """Return ten cepstral coefficients of 49 frames, ``(n, 1, 49, 10)``."""
    edges = np.unique((8 * (np.exp(np.linspace(0, np.log(17), 20)) - 1)).round()).astype(int)[:-1]
    widths = np.diff([*edges, 128])
    waves = np.cos(np.pi * np.outer(np.arange(10), (np.arange(len(edges)) + 0.5) / len(edges)))
    return _spoken(root, lambda log: (np.add.reduceat(log, edges, axis=1) / widths @ waves.T)[None, :49])


def _sounds(root: Path) -> tuple[Rows, Rows]:
    """Return five frames of a spectrum, ``(n, 640)``."""
    return _spoken(root, lambda log: log[10:15].ravel())


def _pictures(root: Path) -> tuple[Rows, Rows]:
    """Return handwritten digits with a border, in three equal colours, ``(n, 3, 32, 32)``."""
    dataset = load(MnistConfig(root=str(root)))

    def coloured(split: Split) -> Rows:
        pixels = np.pad(split.x[:6000] + 128.0, ((0, 0), (0, 0), (2, 2), (2, 2)))
        return pixels.repeat(3, axis=1) / 64, split.y[:6000]

    return coloured(dataset.train), coloured(dataset.val)


_RECORDED: dict[str, tuple[str, Callable[[Path], tuple[Rows, Rows]]]] = {
    "gesture": ("uwash_inwild", _glances),
    "ds_cnn": ("fsdd", _words),
    "resnet8": ("mnist", _pictures),
    "autoencoder": ("fsdd", _sounds),
    "tcn": ("wisdm_watch", _movements),
    "bidirectional_gru": ("wisdm_watch", _steps),
    "lstm": ("wisdm_watch", _steps),
}
"""The folder that a network's recordings need, and who reads them."""
