from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitq.core.errors import DataError
from bitq.data.recordings import Event, Recording, read_corpus

Maker = Callable[..., Any]


@pytest.fixture
def two(recording: Maker) -> list[Recording]:
    acc = np.tile([0.0, 0.0, 9.81], (100, 1)) + np.arange(100)[:, None] * 0.01
    events = (Event("raise_end", "A", 1.0, 1.5), Event("lower_start", "B", 2.0, 2.25))
    return [
        recording(acc, 25.0, "L", events, "corpus/p1"),
        recording(acc[:60], 25.0, "R", (), "corpus/p2"),
    ]


def test_what_was_written_is_read(tmp_path: Path, two: list[Recording], write_corpus: Maker) -> None:
    found = read_corpus(write_corpus(tmp_path / "corpus", two), "corpus")
    assert [(one.subject, one.side, one.rate_hz, one.events) for one in found] == [
        (one.subject, one.side, one.rate_hz, one.events) for one in two
    ]
    for one, other in zip(found, two, strict=True):
        np.testing.assert_array_equal(one.acc, other.acc)
        assert one.seconds == len(other.acc) / 25


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("sessions.csv", "1,p2", "1,p3", r"sessions.csv:3:subject: the .npz says p2, got 'p3'"),
        ("sessions.csv", ",60", ",61", r"sessions.csv:3:n_samples: the .npz says 60, got '61'"),
        ("sessions.csv", "1,p2,session1,R,60\n", "", r"1 sessions, the .npz holds 2"),
        (
            "events.csv",
            "0,p1,session0,raise_end",
            "7,p1,session0,raise_end",
            r"events.csv:2:session_index: must be 0 to 1",
        ),
        ("events.csv", "0,p1,session0,raise_end", "0,p2,session0,raise_end", r"events.csv:2:session: session 0 is"),
        ("events.csv", "raise_end", "raise", r"events.csv:2:kind: must be raise_end or lower_start, got 'raise'"),
        ("events.csv", ",A,", ",D,", r"events.csv:2:confidence: must be A, B or C"),
        ("events.csv", "1.0,1.5", "1.0,0.5", r"events.csv:2:settle_s: needs 0 <= onset_s"),
        ("events.csv", "2.0,2.25", "2.0,nan", r"events.csv:3:settle_s: must be a number, got 'nan'"),
    ],
)
def test_contradictions_are_refused_with_their_place(
    tmp_path: Path, two: list[Recording], write_corpus: Maker, file: str, old: str, new: str, words: str
) -> None:
    folder = write_corpus(tmp_path / "corpus", two, sums=False)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        read_corpus(folder, "corpus")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"acc": np.zeros((160, 3), np.float32)}, "'acc' is float32"),
        ({"acc": np.zeros((160, 2), np.int16)}, r"\(160, 2\), expected int16"),
        ({"acc": np.full((160, 3), 115, np.int16)}, "is the unit m/s"),
        ({"offsets": np.array([0, 100, 170])}, "'offsets' must rise from 0 to 160"),
        ({"offsets": np.array([0, 0, 160])}, "'offsets' must rise"),
        ({"side": np.array(["L", "X"])}, "'side' must be L, R or"),
        ({"side": np.array(["L"])}, "1 entries in 'side' for 2 sessions"),
        ({"fs": np.float64("nan")}, "'fs' = nan Hz"),
        ({"acc_lsb": np.float64(0)}, "'acc_lsb' = 0.0"),
        ({"subject": None}, "holds no 'subject'"),
    ],
)
def test_faulty_arrays_are_refused(
    tmp_path: Path, two: list[Recording], write_corpus: Maker, changes: dict[str, Any], words: str
) -> None:
    folder = write_corpus(tmp_path / "corpus", two, sums=False)
    path = folder / "corpus.npz"
    with np.load(path) as old:
        arrays = {**old, **changes}
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    with pytest.raises(DataError, match=words):
        read_corpus(folder, "corpus")


def test_changed_files_are_refused_by_their_checksum(
    tmp_path: Path, two: list[Recording], write_corpus: Maker
) -> None:
    folder = write_corpus(tmp_path / "corpus", two)
    (folder / "events.csv").write_text((folder / "events.csv").read_text().replace("1.0,1.5", "1.0,1.6"))
    with pytest.raises(DataError, match=r"events.csv: SHA-256 is [0-9a-f]{64}, SHA256SUMS says [0-9a-f]{64}"):
        read_corpus(folder, "corpus")
    (folder / "SHA256SUMS").write_text("nonsense\n")
    with pytest.raises(DataError, match="SHA256SUMS:1"):
        read_corpus(folder, "corpus")


def test_missing_arrays_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"corpus\.npz: cannot be read"):
        read_corpus(tmp_path / "corpus", "corpus")
