"""Anybody's own arrays: one ``.npz`` file becomes three splits of int8 rows.

Bytes are taken exactly; wider numbers are scaled into −127..127 by the largest magnitude in the training part.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError
from bitq.data.config import TASK_METRICS, ArraysConfig
from bitq.data.dataset import Dataset, InputSpec, Split, Step
from bitq.data.labels import MEANING, Labels
from bitq.data.labels import check as check_labels
from bitq.data.npz import read_npz
from bitq.data.splits import balanced_weights

STAND_INS = 1_200
NO_LABEL = -1  # of rows that stand in: they are noise
GROUP_KEYS = ("group", "subject")
Array = NDArray[Any]


def arrays(config: ArraysConfig) -> Dataset:
    """Read, split and quantize the arrays.

    Raises:
        DataError: the file is missing or damaged, rows are not finite, do not suffice, or leak between splits.
    """
    path = Path(config.path).expanduser().absolute()
    if not path.is_file():
        raise DataError(
            f"arrays: nothing at {path}; correct data.path, or save the arrays with numpy.savez(path, x=..., y=...)."
        )
    data = read_npz(path)
    if "x_train" in data:
        x, labels, parts = _premade(path, data, config)
    else:
        x, y = _pair(path, data, "", config.task)
        labels = MEANING[config.task](path, y, config)
        parts = _split(path, labels, _groups(path, data, len(x)), config)
    if config.channels_last:
        x = np.moveaxis(x, -1, 1)
    useless = ~labels.may_train[parts[0]]
    parts[0] = parts[0][~useless]
    if absent := set(np.unique(labels.strata[labels.may_train]).tolist()) - set(labels.strata[parts[0]].tolist()):
        name = labels.classes[min(absent)]
        raise DataError(f"{path}: class '{name}' has no row in training; add rows or change data.seed.")
    rows, spec, steps = _quantize(path, x, parts[0])
    splits = [Split(rows[part], labels.y[part]) for part in parts]
    notes = _check_leaks(path, splits, parts, config) + _constant_channels(splits[0].x)
    if useless.any():
        notes.append(f"{int(useless.sum())} anomalies of the training part are left out: it learns normal rows")
    return Dataset(
        name=config.name,
        source="arrays",
        license=config.license,
        redistributable=config.redistributable,
        classes=labels.classes,
        input=spec,
        preprocess=steps,
        train=splits[0],
        val=splits[1],
        test=splits[2],
        metric=TASK_METRICS[config.task][0] if config.metric == "auto" else config.metric,
        class_weights=(
            balanced_weights(splits[0].y, len(labels.classes))
            if config.class_weights == "balanced" and config.task == "classification"
            else (1.0,) * len(labels.classes)
        ),
        stand_ins=None if config.redistributable else _noise(splits[0].x, config.seed),
        notes=tuple(notes),
        rate_hz=config.rate_hz,
        channels=tuple(config.channels),
        units=config.units,
        task=config.task,
    )


def _pair(path: Path, data: dict[str, Array], suffix: str, task: str) -> tuple[Array, Array]:
    """Return ``x`` and ``y``, both checked."""
    for key in (f"x{suffix}", f"y{suffix}"):
        if key not in data:
            raise DataError(f"{path}: holds no '{key}'; found: {', '.join(sorted(data)) or 'nothing'}.")
    x, y = data[f"x{suffix}"], data[f"y{suffix}"]
    if x.dtype.kind not in "iuf" or not 2 <= x.ndim <= 4 or x.size == 0:
        raise DataError(f"{path}: 'x{suffix}' is {x.dtype} {x.shape}; expected numbers, (rows, 1 to 3 dimensions).")
    check_labels(path, f"y{suffix}", y, len(x), task)
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{path}: {int((~finite).sum())} of {len(x)} rows of 'x{suffix}' hold NaN or infinity, "
            f"the first is row {int(np.argmin(finite))}; repair or drop them."
        )
    return x, y


def _premade(
    path: Path, data: dict[str, Array], config: ArraysConfig
) -> tuple[Array, Labels, list[NDArray[np.int64]]]:
    """Join splits that the file brings along; validation rows come out of training where it brings none."""
    suffixes = ("_train", "_val", "_test") if "x_val" in data else ("_train", "_test")
    pairs = [_pair(path, data, suffix, config.task) for suffix in suffixes]
    if len({x.shape[1:] for x, _ in pairs}) > 1 or len({(x.dtype, y.dtype.kind) for x, y in pairs}) > 1:
        found = ", ".join(f"x{s} {x.dtype} {x.shape}" for s, (x, _) in zip(suffixes, pairs, strict=True))
        raise DataError(f"{path}: the splits must agree in row shape and types; found {found}.")
    ends = np.cumsum([0] + [len(x) for x, _ in pairs])
    parts = [np.arange(low, high) for low, high in pairwise(ends)]
    x, y = np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
    labels = MEANING[config.task](path, y, config)
    if len(parts) == 2:
        train, val = _part(path, labels, _groups(path, data, len(x)), parts[0], config.val_fraction, config.seed)
        parts = [train, val, parts[1]]
    return x, labels, parts


def _groups(path: Path, data: dict[str, Array], rows: int) -> Array | None:
    key = next((key for key in GROUP_KEYS if key in data), None)
    if key is None or "x_train" in data:
        return None
    if data[key].dtype.kind not in "iuU" or data[key].shape != (rows,):
        raise DataError(f"{path}: '{key}' is {data[key].dtype} {data[key].shape}; expected one per row, ({rows},).")
    return data[key]


def _split(path: Path, labels: Labels, groups: Array | None, config: ArraysConfig) -> list[NDArray[np.int64]]:
    everything = np.arange(len(labels.y))
    rest, test = _part(path, labels, groups, everything, config.test_fraction, config.seed)
    val_fraction = config.val_fraction / (1 - config.test_fraction)
    train, val = _part(path, labels, groups, rest, val_fraction, config.seed + 1)
    return [train, val, test]


def _part(
    path: Path, labels: Labels, groups: Array | None, rows: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide rows in two, stratified by label, whole groups together where there are any."""
    from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    strata = labels.strata[rows]
    kinds, counts = np.unique(strata, return_counts=True)
    names = [labels.classes[kind] for kind in kinds] if labels.classes else ["any"]
    if labels.classes and len(names) < 2:
        raise DataError(f"{path}: all {len(rows)} rows are of class '{names[0]}'; two classes are the least.")
    if groups is None:
        needed = max(2, len(names))
        taken = int(np.ceil(fraction * len(rows)))
        if counts.min() < 2 or taken < needed or len(rows) - taken < needed:
            raise DataError(
                f"{path}: too few rows to divide {len(rows)} by {fraction:g}: class '{names[counts.argmin()]}' "
                f"has {counts.min()}, {len(names)} classes in all; add rows or change the fractions."
            )
        keep, take = train_test_split(rows, test_size=fraction, stratify=strata, random_state=seed)
        return np.sort(keep), np.sort(take)
    folds = max(2, round(1 / fraction))
    found = len(np.unique(groups[rows]))
    if found < folds:
        raise DataError(
            f"{path}: {found} groups cannot give {fraction:.0%} of the rows away; at least {folds} are needed."
        )
    # scikit-learn refuses classes with fewer rows than folds: the coarsest stratification that it takes
    folds = min(folds, int(counts.max()))
    keep, take = next(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, strata, groups[rows]))
    return np.sort(rows[keep]), np.sort(rows[take])


def _quantize(path: Path, x: Array, train: NDArray[np.int64]) -> tuple[NDArray[np.int8], InputSpec, tuple[Step, ...]]:
    """Return int8 rows, an input encoding with about unit variance, and the steps that lead there."""
    steps: tuple[Step, ...] = ()
    if x.dtype == np.uint8:
        rows = (x.astype(np.int16) - 128).astype(np.int8)
        steps = (Step("offset", {"add": -128}),)
    elif x.dtype == np.int8:
        rows = x
    else:
        wide = x.astype(np.float64)
        step = float(np.abs(wide[train]).max()) / 127
        rows = np.clip(np.rint(wide / (step or 1.0)), -127, 127).astype(np.int8)
        steps = (Step("divide", {"by": step or 1.0}), Step("round", {"ties": "even", "low": -127, "high": 127}))
    sample = rows[train].astype(np.float64)
    spread = float(sample.std())
    if spread == 0:
        raise DataError(f"{path}: every value of the training rows is {x[train].flat[0]}: nothing to learn from.")
    zero_point = round(float(sample.mean())) if x.dtype.itemsize == 1 else 0
    shape = tuple(int(size) for size in rows.shape[1:])
    return np.ascontiguousarray(rows), InputSpec(shape, 1 / spread, zero_point), steps


def _check_leaks(path: Path, splits: list[Split], parts: list[NDArray[np.int64]], config: ArraysConfig) -> list[str]:
    """Refuse, or note, rows of training that validation or test hold too."""
    keys = [_row_keys(split.x) for split in splits]
    notes: list[str] = []
    for name, place in (("val", 1), ("test", 2)):
        twin = np.isin(keys[place], keys[0])
        if not twin.any():
            continue
        first = int(parts[place][int(np.argmax(twin))])
        text = f"leak: {int(twin.sum())} of {len(twin)} {name} rows are in training too"
        if config.duplicates == "refuse":
            raise DataError(
                f"{path}: {text}, the first is row {first}; remove them, give a 'group' array, "
                "or set data.duplicates=allow."
            )
        notes.append(text)
    return notes


def _row_keys(x: NDArray[np.int8]) -> Array:
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    return flat.view(np.dtype((np.void, flat.shape[1]))).ravel()


def _constant_channels(x: NDArray[np.int8]) -> list[str]:
    if x.ndim < 3:
        return []
    return [
        f"channel {channel} is constant in training" for channel in range(x.shape[1]) if np.ptp(x[:, channel]) == 0
    ]


def _noise(x: NDArray[np.int8], seed: int) -> Split:
    rng = np.random.default_rng(seed)
    rows = rng.integers(int(x.min()), int(x.max()) + 1, (STAND_INS, *x.shape[1:]), np.int8)
    return Split(rows, np.full(STAND_INS, NO_LABEL, np.int64))
