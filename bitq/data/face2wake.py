"""face2wake: does the last 2 s of wrist acceleration end with the watch raised to be looked at?

One fixed definition, on recordings where they are found and on the simulator where not. Wearers, never
windows, are divided between the splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError
from bitq.core.files import sha256_bytes
from bitq.data.config import Face2WakeConfig
from bitq.data.dataset import Dataset, InputSpec, Split, Step
from bitq.data.recordings import GRAVITY, Event, Recording, read_corpus
from bitq.data.root import data_root, missing
from bitq.data.simulator import simulate
from bitq.data.splits import balanced_weights, check_disjoint, deal_subjects, even_quota
from bitq.data.wrist import HOP, LENGTH, LSB, PREPROCESS, RATE_HZ, to_steps, to_windows

LICENSES = {  # folder: (licence, may be redistributed)
    "restricted/weda_fall": ("none stated", False),
    "restricted/bangle_freeliving": ("none stated", False),
    "uwash_inwild": ("MIT", True),
    "wisdm_watch": ("CC BY 4.0, unconfirmed", False),
    "sp_sw_har": ("CC BY 4.0", True),
}
POSITIVE_S = 0.4  # a window that ends so long after an event settled is positive
BEFORE_S, AFTER_S = 0.2, 2.0  # what else touches [onset - before, settle + after] is left out
STAND_INS = 1_200
LEFT_OUT = -1
EPSILON_S = 1e-6  # sample times are sums of fractions


@dataclass(frozen=True)
class Windows:
    """The labelled windows of several recordings: ``x`` ``(n, 3, 50)``, ``y`` ``(n,)`` and the corpus of each."""

    x: NDArray[np.int8]
    y: NDArray[np.int64]
    corpus: NDArray[np.int64]


def face2wake(config: Face2WakeConfig) -> Dataset:
    """Prepare the task.

    Raises:
        DataError: recordings are damaged, missing where they were asked for, or leave a split without events.
    """
    recordings, notes = _find(config)
    simulated = recordings[0].corpus == "simulated"
    corpora = list(dict.fromkeys(recording.corpus for recording in recordings))
    parts = _divide(recordings)
    train = _take_negatives(cut(parts["train"], corpora), config.negatives_per_positive, config.seed)
    val, test = cut(parts["val"], corpora), cut(parts["test"], corpora)
    for name, windows in (("train", train), ("val", val), ("test", test)):
        if not (windows.y == 1).any() or not (windows.y == 0).any():
            raise DataError(
                f"data face2wake: the {name} split of {', '.join(corpora)} has {int((windows.y == 1).sum())} "
                f"positive windows of {len(windows.y)}; add a corpus with events, or take data.source=simulated."
            )
    redistributable = simulated or all(LICENSES[corpus][1] for corpus in corpora)
    return Dataset(
        name=config.name,
        source="simulated" if simulated else "recordings",
        license=("MIT (simulated)" if simulated else "; ".join(f"{name}: {LICENSES[name][0]}" for name in corpora)),
        redistributable=redistributable,
        classes=("other", "look"),
        input=InputSpec((3, LENGTH), LSB / GRAVITY, 0),
        preprocess=(*PREPROCESS, _label_step()),
        train=Split(train.x, train.y),
        val=Split(val.x, val.y),
        test=Split(test.x, test.y),
        metric="balanced_accuracy",
        class_weights=balanced_weights(train.y, 2),
        stand_ins=None if redistributable else _stand_ins(config),
        notes=tuple(notes),
        rate_hz=RATE_HZ,
        channels=("acc_x", "acc_y", "acc_z"),
        units="m/s^2",
    )


def label_windows(ends_s: NDArray[np.float64], events: Sequence[Event]) -> NDArray[np.int64]:
    """Return 1, 0 or −1 (left out) for the windows that end at ``ends_s``, ``(n,)``.

    A window that ends in [settle, settle + 0.4 s] of a raise of confidence A or B is positive. One that otherwise
    touches [onset − 0.2 s, settle + 2 s] of a raise, or of any event of confidence C, is left out.
    """
    starts_s = ends_s - (LENGTH - 1) / RATE_HZ
    positive = np.zeros(len(ends_s), bool)
    touched = np.zeros(len(ends_s), bool)
    doubtful = np.zeros(len(ends_s), bool)
    for event in events:
        low, high = event.onset_s - BEFORE_S - EPSILON_S, event.settle_s + AFTER_S + EPSILON_S
        touches = (ends_s >= low) & (starts_s <= high)
        if event.confidence == "C":
            doubtful |= touches
        elif event.kind == "raise_end":
            since_s = ends_s - event.settle_s
            positive |= (since_s >= -EPSILON_S) & (since_s <= POSITIVE_S + EPSILON_S)
            touched |= touches
    labels = np.where(touched, LEFT_OUT, 0)
    labels[positive] = 1
    labels[doubtful] = LEFT_OUT
    return labels


def cut(recordings: Sequence[Recording], corpora: Sequence[str]) -> Windows:
    """Return all windows of some recordings that have a label, in their order; one network input each."""
    xs: list[NDArray[np.int8]] = [np.empty((0, 3, LENGTH), np.int8)]
    ys: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    sources: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for recording in recordings:
        ends_s, x = to_windows(*to_steps(recording))
        y = label_windows(ends_s, recording.events)
        kept = y != LEFT_OUT
        xs.append(x[kept])
        ys.append(y[kept])
        sources.append(np.full(int(kept.sum()), corpora.index(recording.corpus)))
    return Windows(np.concatenate(xs), np.concatenate(ys), np.concatenate(sources))


def _find(config: Face2WakeConfig) -> tuple[list[Recording], list[str]]:
    """Return recordings, or simulated ones, with what the screen should say about them."""
    if config.source == "simulated":
        return simulate(config.subjects, config.seed), ["simulated wearers, as data.source asks"]
    root = data_root(config.root)
    found = [name for name in config.corpora if (root / name).is_dir()]
    if found:
        absent = [name for name in config.corpora if name not in found]
        notes = [f"not found under {root}: {', '.join(absent)}"] if absent else []
        return [recording for name in found for recording in read_corpus(root / name, name)], notes
    if config.source == "recordings":
        advice = "Put the folders of wrist recordings there"
        raise missing("face2wake", _either(root, config.corpora), advice)
    note = f"no recordings under {root}: simulated wearers stand in, figures say nothing about real ones"
    return simulate(config.subjects, config.seed), [note]


def _either(root: Path, names: Sequence[str]) -> Path:
    return root / (names[0] if len(names) == 1 else f"{{{','.join(names)}}}")


def _divide(recordings: Sequence[Recording]) -> dict[str, list[Recording]]:
    """Deal the wearers of each corpus to the splits; refuse a recording that two of them share."""
    looks: dict[str, dict[str, int]] = {}
    owner: dict[str, str] = {}
    for recording in recordings:
        count = sum(event.kind == "raise_end" and event.confidence in "AB" for event in recording.events)
        people = looks.setdefault(recording.corpus, {})
        people[recording.subject] = people.get(recording.subject, 0) + count
        other = owner.setdefault(sha256_bytes(recording.acc.tobytes()), recording.subject)
        if other != recording.subject:
            raise DataError(
                f"leak: session {recording.session} of {recording.subject} is, sample by sample, also one of {other}."
            )
    place = {subject: part for people in looks.values() for subject, part in deal_subjects(people).items()}
    parts: dict[str, list[Recording]] = {"train": [], "val": [], "test": []}
    for recording in recordings:
        parts[place[recording.subject]].append(recording)
    check_disjoint({part: [recording.subject for recording in found] for part, found in parts.items()})
    return parts


def _take_negatives(windows: Windows, per_positive: float, seed: int) -> Windows:
    """Keep all positives and a seeded choice of negatives, as evenly over the corpora as they allow."""
    rng = np.random.default_rng(seed)
    total = round(per_positive * int((windows.y == 1).sum()))
    pools = [np.flatnonzero((windows.y == 0) & (windows.corpus == corpus)) for corpus in np.unique(windows.corpus)]
    quota = even_quota([len(pool) for pool in pools], total)
    chosen = [rng.choice(pool, amount, replace=False) for pool, amount in zip(pools, quota, strict=True)]
    kept = np.sort(np.concatenate([np.flatnonzero(windows.y == 1), *chosen]))
    return Windows(windows.x[kept], windows.y[kept], windows.corpus[kept])


def _stand_ins(config: Face2WakeConfig) -> Split:
    """Return simulated windows to publish in place of recorded ones, a third of them positive."""
    windows = cut(simulate(config.subjects, config.seed), ["simulated"])
    rng = np.random.default_rng(config.seed)
    positives, negatives = np.flatnonzero(windows.y == 1), np.flatnonzero(windows.y == 0)
    looks = min(len(positives), STAND_INS // 3)
    kept = np.concatenate(
        [
            rng.choice(positives, looks, replace=False),
            rng.choice(negatives, STAND_INS - looks, replace=False),
        ]
    )
    return Split(windows.x[np.sort(kept)], windows.y[np.sort(kept)])


def _label_step() -> Step:
    return Step("decide", {"every_samples": HOP, "class_1": "the watch has just been raised to be looked at"})
