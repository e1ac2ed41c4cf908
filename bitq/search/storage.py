"""Where a study is kept, and the lease that proves that a process works on it: both end with the process.

On one machine the study is a journal file, and an exclusive `flock` beside it is the lease. A database is shared by
several hosts: there every process holds an advisory lock under its own number (PostgreSQL frees it with the
connection), so that the others see at once that it is gone.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend

from bitq.core import files
from bitq.core.errors import BitqError, ConfigError

_NOBODY = "0"


@dataclass(frozen=True)
class Lease:
    """The right to work on a study.

    Attributes:
        storage: of the study.
        owner: a name for this process, noted with each trial that it runs.
        alive: whether the process of a name still works on the study.
        shared: whether other processes may work on the study at the same time.
        place: differs between those processes.
    """

    storage: BaseStorage
    owner: str
    alive: Callable[[str], bool]
    shared: bool = False
    place: int = 0


@contextlib.contextmanager
def leased(folder: Path, storage: str) -> Generator[Lease]:
    """Open the storage of a study and hold a lease on it for as long as the block runs.

    Args:
        folder: of the journal.
        storage: ``journal`` or the address of a PostgreSQL database.

    Raises:
        BitqError: another process holds the journal.
        ConfigError: the database cannot be used.
    """
    with _journal(folder) if storage == "journal" else _database(storage) as lease:
        yield lease


@contextlib.contextmanager
def _journal(folder: Path) -> Generator[Lease]:
    with files.locked(folder / "study.lock") as mine:
        if not mine:
            raise BitqError(f"the study in {folder} is in use by another process; wait for it or stop it.")
        journal = folder / "optuna.journal"
        _mend(journal)
        # The study's own lock proves that nobody writes; a kill in the middle of a write leaves Optuna's behind.
        Path(f"{journal}.lock").unlink(missing_ok=True)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
        yield Lease(storage, _NOBODY, lambda owner: False)


def _mend(journal: Path) -> None:
    """Drop a last line that a kill cut short; Optuna could not read the journal any more."""
    if journal.is_file() and (content := journal.read_bytes()) and not content.endswith(b"\n"):
        files.write_bytes(journal, content[: content.rfind(b"\n") + 1])


@contextlib.contextmanager
def _database(address: str) -> Generator[Lease]:
    if not address.startswith("postgresql"):
        raise ConfigError(f"search.storage: 'journal' or a postgresql address, got '{address.partition(':')[0]}…'.")
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    owner = secrets.randbits(62) + 1
    try:
        engine = create_engine(address)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:

            def alive(other: str) -> bool:
                if int(other) == owner:
                    return True
                key = {"key": int(other)}
                if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar():
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
                    return False
                return True

            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": owner})
            storage = optuna.storages.RDBStorage(address)
            yield Lease(storage, str(owner), alive, shared=True, place=owner)
    except (SQLAlchemyError, ImportError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"search.storage: the database cannot be used: {first[:300]}") from error
