"""The one door to every dataset: a config goes in, checked integer arrays come out.

The caller needs to know neither the readers nor where their files lie.
"""

from __future__ import annotations

from typing import Any

from bitq.core.fields import validate
from bitq.data.config import DATASETS
from bitq.data.dataset import Dataset


def load(config: Any) -> Dataset:
    """Read and prepare the dataset that a config names.

    Args:
        config: one of the dataclasses of `bitq.data.config`.

    Raises:
        ConfigError: a field is out of range, or the name is unknown.
        DataError: the data is missing, damaged or refused.
    """
    validate(config, "data")
    return DATASETS.create(config)
