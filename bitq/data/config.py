"""The configs of all datasets and the registry that joins them to their code; nothing heavy is imported.

A YAML file in ``conf/data`` names one of the keys below and states what differs from the defaults.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bitq.core.errors import ConfigError, nearest
from bitq.core.fields import choice, number
from bitq.core.registry import Registry

if TYPE_CHECKING:
    from bitq.data.dataset import Dataset

CORPORA = (
    "restricted/weda_fall",
    "restricted/bangle_freeliving",
    "uwash_inwild",
    "wisdm_watch",
    "sp_sw_har",
)
"""Folders of wrist recordings that face2wake knows, in the order in which they are read."""


TASK_METRICS = {
    "classification": ("accuracy", "balanced_accuracy"),
    "regression": ("mae",),
    "anomaly": ("auc",),
}
"""Kinds of tasks and the metrics that judge them, the usual one first."""


@dataclass
class RemoteFile:
    """A file that can be fetched: its name in the data folder, its one address, its size and checksum."""

    name: str = ""
    url: str = ""
    size_bytes: int = number(0, 1, 2**31, "bytes")
    sha256: str = ""

    def check(self, path: str) -> None:
        """Refuse a checksum that is none, and a name that is a path."""
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"{path}.sha256: must be 64 hexadecimal digits, got '{self.sha256}'.")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ConfigError(f"{path}.name: must be a plain file name, got '{self.name}'.")


@dataclass
class MnistConfig:
    """Handwritten digits, 28 × 28: ``ROOT/mnist/*-ubyte[.gz]``.

    Attributes:
        root: data folder; else ``BITQ_DATA``, else ``./data``.
        side: pixels per side: 28 as they are, 24 cut out of the middle, 16 as means of 2 × 2 after padding to 32.
        limit: rows per split at most (stratified, seeded), for smoke runs.
        seed: of the choice that ``limit`` makes.
        train_on_validation: train on all 60,000 rows; validation figures are then no estimate any more.
        files: where the files come from and what they must be.
    """

    name: str = "mnist"
    root: str | None = None
    side: int = choice(28, (16, 24, 28))
    limit: int | None = number(None, 20, 60_000, "rows")
    seed: int = number(0, 0, 2**31 - 1)
    train_on_validation: bool = False
    files: list[RemoteFile] = field(default_factory=list[RemoteFile])


@dataclass
class DigitsConfig:
    """The 1,797 digits of 8 × 8 pixels that come with scikit-learn: no files needed."""

    name: str = "digits"
    seed: int = number(0, 0, 2**31 - 1)


@dataclass
class Face2WakeConfig:
    """Wrist accelerometer windows: does the wearer raise the watch to look at it?

    Attributes:
        root: data folder; else ``BITQ_DATA``, else ``./data``.
        source: ``recordings`` insists on them, ``simulated`` ignores them, ``auto`` takes what is there.
        corpora: folders under the root to read; those that do not exist are left out and named.
        negatives_per_positive: at most so many negative windows per positive one in training.
        seed: of that choice, and of the simulator.
        subjects: simulated wearers, where the simulator is used.
    """

    name: str = "face2wake"
    root: str | None = None
    source: str = choice("auto", ("auto", "recordings", "simulated"))
    corpora: list[str] = field(default_factory=lambda: list(CORPORA))
    negatives_per_positive: float = number(10.0, 0.1, 1000.0)
    seed: int = number(0, 0, 2**31 - 1)
    subjects: int = number(15, 5, 200)

    def check(self, path: str) -> None:
        """Refuse corpora that are not known, named twice, or none at all."""
        for index, name in enumerate(self.corpora):
            if name not in CORPORA:
                raise ConfigError(f"{path}.corpora[{index}]: unknown '{name}'.{nearest(name, CORPORA)}")
        if not self.corpora or len(set(self.corpora)) != len(self.corpora):
            raise ConfigError(f"{path}.corpora: name at least one, each once; got {list(self.corpora)}.")


@dataclass
class ArraysConfig:
    """Anybody's arrays in one ``.npz`` file.

    The file holds ``x`` (rows first; uint8, int8, other integers or floats) and ``y`` (integers or text; for a
    regression numbers, one or more per row), and may hold ``group`` or ``subject`` (rows of one group stay in one
    split); or, split beforehand, ``x_train``, ``y_train``, ``x_test``, ``y_test`` and perhaps ``x_val``, ``y_val``.

    Attributes:
        path: the file; a relative path starts at the working folder.
        task: ``classification``; ``regression`` of real targets; ``anomaly``: an autoencoder, or a forest, learns the
            rows of the label ``normal``, and its score has to tell all others from them.
        normal: the label of normal rows, for ``anomaly``; what is labelled otherwise is none.
        metric: what selection and reports use; ``auto`` is accuracy, mae of a regression, auc of anomalies.
        class_weights: ``balanced`` weighs classes in the loss by inverse frequency.
        val_fraction: part of the rows (or groups) for validation.
        test_fraction: part of the rows (or groups) for the test.
        seed: of the split.
        channels_last: rows are ``(time, channels)`` or ``(height, width, channels)``.
        duplicates: what to do when the same row is in training and in another split.
        license: for the model card.
        redistributable: whether test rows may be put into a deploy folder; random rows stand in otherwise.
        rate_hz: sampling rate, where there is one.
        channels: a name per channel.
        units: of the raw values.
    """

    name: str = "arrays"
    path: str = ""
    task: str = choice("classification", tuple(TASK_METRICS))
    normal: str = "0"
    metric: str = choice("auto", ("auto", *(name for names in TASK_METRICS.values() for name in names)))
    class_weights: str = choice("none", ("none", "balanced"))
    val_fraction: float = number(0.2, 0.01, 0.8)
    test_fraction: float = number(0.2, 0.01, 0.8)
    seed: int = number(0, 0, 2**31 - 1)
    channels_last: bool = False
    duplicates: str = choice("refuse", ("refuse", "allow"))
    license: str = "not stated"
    redistributable: bool = False
    rate_hz: float | None = number(None, 1e-6, 1e9, "Hz")
    channels: list[str] = field(default_factory=list[str])
    units: str = ""

    def check(self, path: str) -> None:
        """Refuse a missing path, a metric of another task, and fractions that leave less than a tenth to train on."""
        if not self.path:
            raise ConfigError(f"{path}.path: name the .npz file, as in {path}.path=my_data.npz.")
        allowed = TASK_METRICS[self.task]
        if self.metric != "auto" and self.metric not in allowed:
            raise ConfigError(f"{path}.metric: '{self.metric}' is none of {self.task}; use {' or '.join(allowed)}.")
        if self.val_fraction + self.test_fraction > 0.9:
            raise ConfigError(
                f"{path}.val_fraction + {path}.test_fraction: must be at most 0.9, "
                f"got {self.val_fraction + self.test_fraction:g}."
            )


DATASETS: Registry[Dataset] = Registry("dataset")
DATASETS.register("mnist", MnistConfig, "bitq.data.mnist:mnist")
DATASETS.register("digits", DigitsConfig, "bitq.data.digits:digits")
DATASETS.register("face2wake", Face2WakeConfig, "bitq.data.face2wake:face2wake")
DATASETS.register("arrays", ArraysConfig, "bitq.data.arrays:arrays")
