from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitq.core.errors import ConfigError, DataError
from bitq.data.config import CORPORA, Face2WakeConfig
from bitq.data.face2wake import LICENSES, cut, face2wake, label_windows
from bitq.data.load import load
from bitq.data.recordings import Event, Recording, read_corpus
from bitq.data.splits import deal_subjects

Maker = Callable[..., Any]


def look(onset_s: float, settle_s: float, confidence: str = "A", kind: str = "raise_end") -> Event:
    return Event(kind, confidence, onset_s, settle_s)


def test_labels_stand_exactly_where_the_rule_says() -> None:
    ends_s = np.arange(10, 101) / 5  # every 0.2 s from 2 s to 20 s
    labels = label_windows(ends_s, [look(9.5, 10.0)])
    expected = np.zeros(len(ends_s), int)
    # touched: end >= 9.3, start = end - 1.96 <= 12; positive: 10.0, 10.2, 10.4
    expected[(ends_s > 9.3 - 1e-9) & (ends_s < 13.96 + 1e-9)] = -1
    expected[np.isin(ends_s, [10.0, 10.2, 10.4])] = 1
    np.testing.assert_array_equal(labels, expected)
    assert (labels == 1).sum() == 3
    assert ends_s[labels == -1][[0, -1]].tolist() == [9.4, 13.8]


def test_confidence_b_counts_and_lowering_does_not() -> None:
    ends_s = np.arange(10, 101) / 5
    np.testing.assert_array_equal(
        label_windows(ends_s, [look(9.5, 10.0, "B")]), label_windows(ends_s, [look(9.5, 10.0)])
    )
    assert not label_windows(ends_s, [look(9.5, 10.0, "A", "lower_start")]).any()


def test_confidence_c_is_left_out_even_where_another_event_is_positive() -> None:
    ends_s = np.arange(10, 101) / 5
    labels = label_windows(ends_s, [look(9.5, 10.0, "C")])
    assert set(labels.tolist()) == {0, -1}
    both = label_windows(ends_s, [look(9.5, 10.0), look(10.3, 10.8, "C")])
    assert ends_s[both == 1].tolist() == [10.0]  # 10.2 and 10.4 touch the doubtful event


def test_a_positive_inside_the_zone_of_an_earlier_event_stays() -> None:
    ends_s = np.arange(10, 101) / 5
    labels = label_windows(ends_s, [look(9.5, 10.0), look(11.0, 11.5)])
    assert ends_s[labels == 1].tolist() == [10.0, 10.2, 10.4, 11.6, 11.8]


@pytest.fixture
def noisy(recording: Maker) -> Callable[..., Recording]:
    def make(subject: str, seed: int, *, seconds: float = 40, looks: bool = True, rate_hz: float = 25.0) -> Recording:
        rng = np.random.default_rng(seed)
        acc = rng.normal([0, 0, 9.8], 1.0, (int(seconds * rate_hz), 3))
        events = (look(9.5, 10.0), look(24.5, 25.0, "B")) if looks else ()
        return recording(acc, rate_hz, "L", events, subject)

    return make


def test_recordings_are_found_split_by_person_and_balanced(tmp_path: Path, noisy: Maker, write_corpus: Maker) -> None:
    people = [f"p{index}" for index in range(10)]
    write_corpus(tmp_path / "uwash_inwild", [noisy(f"uwash_inwild/{p}", i) for i, p in enumerate(people)])
    quiet = [noisy(f"sp_sw_har/{p}", 100 + i, looks=False, seconds=200) for i, p in enumerate(people)]
    write_corpus(tmp_path / "sp_sw_har", quiet)
    config = Face2WakeConfig(root=str(tmp_path), negatives_per_positive=10)
    dataset = load(config)
    assert (dataset.source, dataset.redistributable, dataset.stand_ins) == ("recordings", True, None)
    assert dataset.input.shape == (3, 50)
    assert "restricted/weda_fall" in dataset.notes[0]

    positives = int((dataset.train.y == 1).sum())
    assert positives == 6 * 2 * 2  # people, events, windows that end in 0.4 s of each
    assert len(dataset.train) == 11 * positives
    np.testing.assert_allclose(np.array(dataset.class_weights) * np.bincount(dataset.train.y), len(dataset.train) / 2)

    # every row of a split must come from the people whom the rule puts there, and none is missing outside training
    recordings = {name: read_corpus(tmp_path / name, name) for name in ("uwash_inwild", "sp_sw_har")}
    rows: dict[str, set[bytes]] = {"train": set(), "val": set(), "test": set()}
    for name, found in recordings.items():
        dealt = deal_subjects({one.subject: len(one.events) for one in found})
        for one in found:
            rows[dealt[one.subject]] |= {x.tobytes() for x in cut([one], [name]).x}
    assert {x.tobytes() for x in dataset.val.x} == rows["val"]
    assert {x.tobytes() for x in dataset.test.x} == rows["test"]
    assert {x.tobytes() for x in dataset.train.x} < rows["train"]
    from_quiet = {x.tobytes() for one in recordings["sp_sw_har"] for x in cut([one], ["sp_sw_har"]).x}
    share = np.mean([x.tobytes() in from_quiet for x in dataset.train.x[dataset.train.y == 0]])
    assert abs(share - 0.5) < 0.02  # as many negatives from either corpus, though one is five times as long

    assert load(config).digest() == dataset.digest()


def test_one_session_under_two_names_is_a_leak(tmp_path: Path, noisy: Maker, write_corpus: Maker) -> None:
    people = [noisy(f"uwash_inwild/p{index}", min(index, 3)) for index in range(5)]
    write_corpus(tmp_path / "uwash_inwild", people)
    with pytest.raises(DataError, match=r"leak: session session4 of uwash_inwild/p4 .* uwash_inwild/p3"):
        load(Face2WakeConfig(root=str(tmp_path)))


def test_a_split_without_events_is_refused(tmp_path: Path, noisy: Maker, write_corpus: Maker) -> None:
    people = [noisy(f"uwash_inwild/p{index}", index, looks=index == 0) for index in range(5)]
    write_corpus(tmp_path / "uwash_inwild", people)
    with pytest.raises(DataError, match=r"the val split of uwash_inwild has 0 positive windows"):
        load(Face2WakeConfig(root=str(tmp_path)))


def test_restricted_recordings_are_not_published(tmp_path: Path, noisy: Maker, write_corpus: Maker) -> None:
    name = "restricted/weda_fall"
    (tmp_path / "restricted").mkdir()
    write_corpus(tmp_path / name, [noisy(f"{name}/p{index}", index) for index in range(5)])
    dataset = load(Face2WakeConfig(root=str(tmp_path), subjects=5))
    assert not dataset.redistributable
    assert dataset.stand_ins is not None
    assert len(dataset.stand_ins) >= 1_200
    assert 0.2 < dataset.stand_ins.y.mean() < 0.5
    recorded = {x.tobytes() for split in (dataset.train, dataset.val, dataset.test) for x in split.x}
    assert not recorded & {x.tobytes() for x in dataset.stand_ins.x}


def test_without_recordings_the_simulator_says_so(tmp_path: Path) -> None:
    dataset = load(Face2WakeConfig(root=str(tmp_path), subjects=5))
    assert (dataset.source, dataset.redistributable) == ("simulated", True)
    assert "simulated" in dataset.notes[0]
    assert str(tmp_path) in dataset.notes[0]
    with pytest.raises(DataError, match=r"face2wake: nothing at .*BITQ_DATA"):
        load(Face2WakeConfig(root=str(tmp_path), source="recordings"))
    with pytest.raises(DataError, match="no folder"):
        load(Face2WakeConfig(root=str(tmp_path / "mistyped")))


def test_corpora_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"data.corpora\[0\]: unknown 'wisdm'. Did you mean 'wisdm_watch'"):
        load(Face2WakeConfig(corpora=["wisdm"]))
    with pytest.raises(ConfigError, match="at least one"):
        load(Face2WakeConfig(corpora=[]))
    assert set(LICENSES) == set(CORPORA)


def test_real_recordings(data_folder: Path) -> None:
    dataset = face2wake(Face2WakeConfig(root=str(data_folder)))
    if dataset.source != "recordings":
        pytest.skip("real data: no wrist recordings under BITQ_DATA")
    for split in (dataset.train, dataset.val, dataset.test):
        assert (split.y == 1).any()
        norm = np.linalg.norm(split.x.astype(float) * 0.16, axis=1)
        assert 9 < np.median(norm) < 10.5
    assert (dataset.train.y == 0).sum() <= 10 * (dataset.train.y == 1).sum()
    assert dataset.stand_ins is not None or dataset.redistributable
