"""The run folder and its result.json: true at any moment, whatever ends the run."""

from __future__ import annotations

import contextlib
import datetime as dt
import shlex
import sys
import time
from collections.abc import Generator
from importlib import metadata
from pathlib import Path

from bitq.config import ExperimentConfig
from bitq.core import files
from bitq.core.errors import BitqError
from bitq.core.processes import Interrupted
from bitq.data.dataset import Dataset
from bitq.track.result import RunResult, Status
from bitq.track.stale import RUN_LOCK

_TOOLS = ("bitq", "numpy", "torch", "pytorch-lightning", "optuna", "mlflow", "ziglang", "unicorn")


class Record:
    """One run: its folder, its result, its end.

    Attributes:
        folder: of this run.
        path: of result.json.
        result: what is known so far; `save` writes it.
    """

    def __init__(self, folder: Path, config: ExperimentConfig, command: str) -> None:
        self.folder = folder
        self.path = folder / "result.json"
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        self.result = RunResult(config.experiment, config.fingerprint(), command, now, config.seeds, {}, _versions())
        self._clock = time.monotonic()

    @property
    def study(self) -> str:
        """A unique name for this command's runs: experiment, date and time."""
        return "-".join([self.result.experiment, *self.folder.parts[-2:]])

    def describe(self, data: Dataset) -> None:
        """Note where the data came from."""
        self.result.data = {
            "source": data.source,
            "digest": data.digest(),
            "license": data.license,
            "counts": data.counts,
        }
        self.save()

    def save(self, status: Status | None = None) -> None:
        """Write result.json, with a new status where one is given."""
        self.result.seconds = round(time.monotonic() - self._clock, 3)
        self.result.status = status or self.result.status
        self.result.write(self.path)


@contextlib.contextmanager
def recording(folder: Path, config: ExperimentConfig, config_text: str) -> Generator[Record]:
    """Open the record of a run: "running" now, and at the end what really happened.

    Args:
        folder: made when it does not exist; locked for as long as the run lasts.
        config: the experiment.
        config_text: its YAML, kept beside the result.

    Raises:
        BitqError: another run uses the folder, or it cannot be written.
    """
    with files.locked(folder / RUN_LOCK) as mine:
        if not mine:
            raise BitqError(f"{folder} belongs to a run that is still going on; start again for a new folder.")
        record = Record(folder, config, command_line())
        files.write_text(folder / "config.yaml", config_text)
        record.save("running")
        try:
            yield record
        except (KeyboardInterrupt, Interrupted) as error:
            record.result.error = str(error) or "interrupted"
            record.save("interrupted")
            raise
        except BaseException as error:
            record.result.error = str(error)
            record.save("failed")
            raise
        else:
            record.save("finished")


def command_line() -> str:
    """Return the command that started this process, as a user would type it."""
    before, marker, after = " ".join(map(shlex.quote, sys.orig_argv)).partition("-m ")
    return f"python -m {after}" if marker else before


def _versions() -> dict[str, str]:
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _TOOLS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
