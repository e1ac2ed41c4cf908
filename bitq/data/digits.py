"""The 8 × 8 digits that come with scikit-learn: a real dataset that needs no file and no network.

It is what examples, continuous integration and a first try run on.
"""

from __future__ import annotations

import numpy as np

from bitq.data.config import DigitsConfig
from bitq.data.dataset import Dataset, InputSpec, Split, Step


def digits(config: DigitsConfig) -> Dataset:
    """Return the 1,797 digits, stratified 60/20/20; pixel values 0..16 become 15 · v − 120 exactly."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x = (15 * np.asarray(images) - 120).astype(np.int8).reshape(-1, 1, 8, 8)
    y = np.asarray(labels, np.int64)
    train, rest = train_test_split(np.arange(len(y)), train_size=0.6, stratify=y, random_state=config.seed)
    val, test = train_test_split(rest, train_size=0.5, stratify=y[rest], random_state=config.seed)
    everything = Split(x, y)
    return Dataset(
        name=config.name,
        source="builtin",
        license="CC BY 4.0 (E. Alpaydin, C. Kaynak; UCI optical recognition of handwritten digits)",
        redistributable=True,
        classes=tuple("0123456789"),
        input=InputSpec((1, 8, 8), 1 / (15 * 6.0), 15 * 5 - 120),  # pixels: mean 4.9, standard deviation 6.0
        preprocess=(Step("multiply", {"by": 15}), Step("offset", {"add": -120})),
        train=everything.take(np.sort(train)),
        val=everything.take(np.sort(val)),
        test=everything.take(np.sort(test)),
        metric="accuracy",
        class_weights=(1.0,) * 10,
        notes=("the writers are not known: the split is by image",),
        channels=("grey",),
    )
