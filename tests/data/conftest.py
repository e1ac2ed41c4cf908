"""Sound files and recordings, built by code; no sample of real data lies in the repository."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitq.data.recordings import Event, Recording


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data; tests that need it are skipped by name without one."""
    named = os.environ.get("BITQ_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("real data: BITQ_DATA is not set or no folder")
    return Path(named)


@pytest.fixture
def recording() -> Callable[..., Recording]:
    """Makes a recording from m/s^2."""

    def make(
        acc: np.ndarray,
        rate_hz: float = 25.0,
        side: str = "L",
        events: tuple[Event, ...] = (),
        subject: str = "uwash_inwild/p",
        lsb: float = 0.005,
    ) -> Recording:
        stored = np.rint(np.asarray(acc) / lsb).astype(np.int16)
        return Recording(subject.rpartition("/")[0], subject, "s", side, rate_hz, stored, lsb, events)

    return make


@pytest.fixture
def write_corpus() -> Callable[..., Path]:
    """Writes recordings of one rate in the folder format."""

    def write(folder: Path, recordings: list[Recording], *, sums: bool = True) -> Path:
        folder.mkdir(parents=True)
        lengths = [len(one.acc) for one in recordings]
        people = [one.subject.rpartition("/")[2] for one in recordings]
        names = [f"session{index}" for index in range(len(recordings))]
        np.savez_compressed(
            folder / f"{folder.name}.npz",
            acc=np.concatenate([one.acc for one in recordings]),
            acc_lsb=np.float64(recordings[0].acc_lsb),
            fs=np.float64(recordings[0].rate_hz),
            offsets=np.cumsum([0, *lengths]),
            subject=np.array(people),
            session=np.array(names),
            side=np.array([one.side for one in recordings]),
        )
        rows = ["index,subject,session,side,n_samples"]
        rows += [
            f"{index},{people[index]},{names[index]},{one.side},{lengths[index]}"
            for index, one in enumerate(recordings)
        ]
        (folder / "sessions.csv").write_text("\n".join(rows) + "\n")
        rows = ["session_index,subject,session,kind,confidence,onset_s,settle_s"]
        rows += [
            f"{index},{people[index]},{names[index]},{event.kind},{event.confidence},{event.onset_s},{event.settle_s}"
            for index, one in enumerate(recordings)
            for event in one.events
        ]
        (folder / "events.csv").write_text("\n".join(rows) + "\n")
        if sums:
            files = sorted(folder.iterdir())
            lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
            (folder / "SHA256SUMS").write_text("".join(lines))
        return folder

    return write
