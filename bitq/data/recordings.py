"""The in-memory form of wrist recordings, and the reader of their folder format.

A corpus folder holds ``NAME.npz`` (all sessions end to end, int16), ``sessions.csv`` and, where movements
are marked, ``events.csv``; ``SHA256SUMS`` is verified where it lies beside them. The simulator's recordings
have the same form.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError
from bitq.core.files import sha256_file
from bitq.data.npz import read_npz
from bitq.data.table import Table

GRAVITY = 9.80665  # m/s^2
KINDS = ("raise_end", "lower_start")
ARRAYS = {  # name: (dtype kinds, dimensions)
    "acc": ("i", 2),
    "offsets": ("i", 1),
    "subject": ("U", 1),
    "session": ("U", 1),
    "side": ("U", 1),
    "fs": ("f", 0),
    "acc_lsb": ("f", 0),
}


@dataclass(frozen=True)
class Event:
    """A marked movement, in seconds from the start of its recording.

    Attributes:
        kind: ``raise_end`` (the watch comes up to be looked at) or ``lower_start``.
        confidence: A, B or C.
        onset_s: the movement begins.
        settle_s: the final direction is reached.
    """

    kind: str
    confidence: str
    onset_s: float
    settle_s: float


@dataclass(frozen=True)
class Recording:
    """One session of one wearer.

    Attributes:
        corpus: where it comes from.
        subject: ``corpus/id``: who is never divided between splits.
        session: its name.
        side: wrist, ``L``, ``R`` or ``?``.
        rate_hz: of the uniform samples.
        acc: int16 ``(n, 3)``: specific force, +x out of 3 o'clock, +y out of 12 o'clock, +z out of the screen.
        acc_lsb: m/s^2 of one integer step.
        events: marked movements.
    """

    corpus: str
    subject: str
    session: str
    side: str
    rate_hz: float
    acc: NDArray[np.int16]
    acc_lsb: float
    events: tuple[Event, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.acc) / self.rate_hz


def read_corpus(folder: Path, corpus: str) -> list[Recording]:
    """Read one corpus folder.

    Raises:
        DataError: a file is missing, damaged, or contradicts another.
    """
    npz = folder / f"{folder.name}.npz"
    _verify_checksums(folder, (npz.name, "sessions.csv", "events.csv"))
    arrays = read_npz(npz, wanted=ARRAYS)
    _check_arrays(npz, arrays)
    offsets, subjects, sessions, sides = (arrays[key] for key in ("offsets", "subject", "session", "side"))
    _check_sessions(folder / "sessions.csv", arrays)
    rate_hz, acc_lsb = float(arrays["fs"]), float(arrays["acc_lsb"])
    events = _read_events(folder / "events.csv", arrays) if (folder / "events.csv").exists() else {}
    return [
        Recording(
            corpus=corpus,
            subject=f"{corpus}/{subjects[index]}",
            session=str(sessions[index]),
            side=str(sides[index]),
            rate_hz=rate_hz,
            acc=arrays["acc"][offsets[index] : offsets[index + 1]],
            acc_lsb=acc_lsb,
            events=tuple(events.get(index, ())),
        )
        for index in range(len(subjects))
    ]


def _verify_checksums(folder: Path, names: tuple[str, ...]) -> None:
    sums = folder / "SHA256SUMS"
    if not sums.exists():
        return
    try:
        lines = sums.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{sums}: cannot be read ({error}).") from error
    for number, line in enumerate(lines, start=1):
        expected, _, name = line.partition(" ")
        name = name.lstrip(" *")
        if len(expected) != 64 or not name:
            raise DataError(f"{sums}:{number}: expected a checksum and a file name, got '{line[:80]}'.")
        if name in names and (folder / name).exists():
            found = sha256_file(folder / name)
            if found != expected.lower():
                raise DataError(f"{folder / name}: SHA-256 is {found}, {sums.name} says {expected}; copy it again.")


def _check_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    for name, (kinds, dimensions) in ARRAYS.items():
        if name not in arrays:
            raise DataError(f"{path}: holds no '{name}'; expected {', '.join(ARRAYS)}.")
        array = arrays[name]
        if array.dtype.kind not in kinds or array.ndim != dimensions:
            raise DataError(f"{path}: '{name}' is {array.dtype} with {array.ndim} dimensions, expected {dimensions}.")
    acc, offsets, rate_hz, lsb = (arrays[key] for key in ("acc", "offsets", "fs", "acc_lsb"))
    if acc.dtype != np.int16 or acc.shape[1] != 3 or len(acc) == 0:
        raise DataError(f"{path}: 'acc' is {acc.dtype} {acc.shape}, expected int16 (samples, 3).")
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(acc) or (np.diff(offsets) <= 0).any():
        raise DataError(f"{path}: 'offsets' must rise from 0 to {len(acc)}, the number of samples.")
    for name in ("subject", "session", "side"):
        if len(arrays[name]) != len(offsets) - 1:
            raise DataError(f"{path}: {len(arrays[name])} entries in '{name}' for {len(offsets) - 1} sessions.")
    if not set(arrays["side"].tolist()) <= {"L", "R", "?"}:
        raise DataError(f"{path}: 'side' must be L, R or ?, got {sorted(set(arrays['side'].tolist()))}.")
    if not 1 <= float(rate_hz) <= 10_000 or not 0 < float(lsb) <= 1:
        raise DataError(f"{path}: 'fs' = {rate_hz} Hz and 'acc_lsb' = {lsb} m/s^2 make no sense.")
    norm = float(np.median(np.linalg.norm(acc[:: max(1, len(acc) // 100_000)] * float(lsb), axis=1)))
    if not 0.6 * GRAVITY < norm < 1.5 * GRAVITY:
        raise DataError(f"{path}: median acceleration is {norm:.3g}, expected about 9.8: is the unit m/s^2?")


def _check_sessions(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    table = Table(path, ("index", "subject", "session", "side", "n_samples"))
    expected = (
        ("index", np.arange(len(arrays["subject"])), table.integers("index")),
        ("subject", arrays["subject"], np.array(table.text("subject"))),
        ("session", arrays["session"], np.array(table.text("session"))),
        ("side", arrays["side"], np.array(table.text("side"))),
        ("n_samples", np.diff(arrays["offsets"]), table.integers("n_samples")),
    )
    if len(table) != len(arrays["subject"]):
        raise DataError(f"{path}: {len(table)} sessions, the .npz holds {len(arrays['subject'])}.")
    for column, truth, found in expected:
        if (truth != found).any():
            row = int(np.argmax(truth != found))
            raise table.fail(row, column, f"the .npz says {truth[row]}")


def _read_events(path: Path, arrays: dict[str, NDArray[Any]]) -> dict[int, list[Event]]:
    table = Table(path, ("session_index", "subject", "session", "kind", "confidence", "onset_s", "settle_s"))
    index, onset_s, settle_s = table.integers("session_index"), table.numbers("onset_s"), table.numbers("settle_s")
    subjects, sessions = table.text("subject"), table.text("session")
    kinds, confidences = table.text("kind"), table.text("confidence")
    seconds = np.diff(arrays["offsets"]) / float(arrays["fs"])
    events: dict[int, list[Event]] = {}
    for row, session in enumerate(index.tolist()):
        if not 0 <= session < len(seconds):
            raise table.fail(row, "session_index", f"must be 0 to {len(seconds) - 1}")
        if (subjects[row], sessions[row]) != (arrays["subject"][session], arrays["session"][session]):
            raise table.fail(row, "session", f"session {session} is {arrays['session'][session]} in the .npz")
        if kinds[row] not in KINDS:
            raise table.fail(row, "kind", f"must be {' or '.join(KINDS)}")
        if confidences[row] not in ("A", "B", "C"):
            raise table.fail(row, "confidence", "must be A, B or C")
        if not 0 <= onset_s[row] <= settle_s[row] <= seconds[session]:
            raise table.fail(row, "settle_s", f"needs 0 <= onset_s <= settle_s <= {seconds[session]:g}")
        event = Event(kinds[row], confidences[row], float(onset_s[row]), float(settle_s[row]))
        events.setdefault(session, []).append(event)
    return events
