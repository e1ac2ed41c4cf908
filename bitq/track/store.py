"""The place where MLflow keeps runs: one SQLite file, safe to open by many processes at once, quiet and offline.

`open_client` is the only door to MLflow; everything else in `track` receives the client from it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from bitq.core import files
from bitq.core.errors import BitqError

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_MODEL_CODE_EXECUTION": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""What every MLflow process of ours runs under: no telemetry, no code out of models, no job runner."""

CREATE_LOCK = "create.lock"
CREATION_TIMEOUT_S = 120.0


def database(folder: Path) -> Path:
    """Return the path of the SQLite file in a tracking folder."""
    return folder / "mlflow.db"


def address(folder: Path) -> str:
    """Return the tracking URI: ``MLFLOW_TRACKING_URI`` if set, else the SQLite file in ``folder``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{database(folder.resolve())}"


def owned(folder: Path) -> bool:
    """Return whether the store is our own SQLite file, rather than one the user named."""
    return address(folder) == f"sqlite:///{database(folder.resolve())}"


def mark(folder: Path) -> str:
    """Return a short checksum of the store's address, which may hold a password and so is not written down."""
    return files.sha256_bytes(address(folder).encode())[:16]


def exists(folder: Path) -> bool:
    """Return whether there is a store to look into; one that the user named counts as there."""
    return not owned(folder) or database(folder).exists()


def open_client(folder: Path) -> MlflowClient:
    """Return a client on the store of ``folder``, which is created where it does not exist yet.

    Raises:
        BitqError: the store cannot be created, read or reached.
    """
    os.environ.update(ENVIRONMENT)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = address(folder)
    with _quiet(), reported(uri, "opening the store"):
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)  # its import sets the level again
        if owned(folder):
            _create_once(folder)
            _follow_move(folder)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
        return client


@contextlib.contextmanager
def reported(uri: str, doing: str) -> Generator[None]:
    """Turn an error of MLflow or of its database into one of ours.

    Raises:
        BitqError: with the first line of the cause; results in the run folder are not touched by it.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        lines = _public(str(error)).strip().splitlines() or [type(error).__name__]
        hint = "Results in the run folder are kept; track=none runs without MLflow."
        if "out-of-date database schema" in str(error):
            hint = f"Copy the file, then run: mlflow db upgrade {_public(uri)}"
        raise BitqError(f"MLflow at {_public(uri)}: {doing} failed: {lines[0][:300]}. {hint}") from error


def experiment_id(client: MlflowClient, folder: Path, name: str) -> str:
    """Return the id of the experiment ``name``, created where missing and restored where deleted.

    Raises:
        BitqError: the name leads out of the artifact folder.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        location = files.inside(folder.resolve() / "artifacts", name).as_uri() if owned(folder) else None
        try:
            return client.create_experiment(name, artifact_location=location)
        except MlflowException:  # another process may have been faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


@contextlib.contextmanager
def held(path: Path, what: str, timeout_s: float) -> Generator[None]:
    """Hold a lock file, waiting for it with a message on standard error.

    Raises:
        BitqError: somebody else held it for all of ``timeout_s``.
    """
    end = time.monotonic() + timeout_s
    told = False
    while True:
        with files.locked(path) as mine:
            if mine and path.exists():  # a sweep may have removed the file between opening and locking
                yield
                return
        if time.monotonic() > end:
            raise BitqError(f"{path} has been locked for {timeout_s:g} s; {what}. End that process and retry.")
        if not told and time.monotonic() > end - timeout_s + 1:
            print(f"waiting: {what} …", file=sys.stderr, flush=True)  # noqa: T201  a wait must show
            told = True
        time.sleep(0.05)


def _create_once(folder: Path) -> None:
    # The tables are made in a file beside and renamed when they are complete: what has the final name is whole.
    target = database(folder)
    if target.exists():
        return
    with held(folder / "locks" / CREATE_LOCK, "another process creates the store", CREATION_TIMEOUT_S):
        if target.exists():
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        with tempfile.TemporaryDirectory(prefix=".create.", dir=folder) as scratch:
            fresh = Path(scratch) / "mlflow.db"
            store = SqlAlchemyStore(f"sqlite:///{fresh.resolve()}", (folder.resolve() / "artifacts").as_uri())
            store.engine.dispose()
            fresh.replace(target)


def _follow_move(folder: Path) -> None:
    # MLflow stores artifact paths as absolute ones: after the project has moved they are led to the new place.
    here = (folder.resolve() / "artifacts").as_uri()
    with contextlib.closing(sqlite3.connect(database(folder), timeout=20)) as connection, connection:
        root = connection.execute("SELECT artifact_location FROM experiments WHERE experiment_id = 0").fetchone()
        before = re.sub(r"/0$", "", root[0]) if root else here
        if before == here or not before.endswith("/artifacts"):
            return
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                (here, len(before) + 1, len(before) + 1, f"{before}/"),
            )


def _public(text: str) -> str:
    """Return text whose addresses have lost their user and password."""
    return re.sub(r"//[^/@\s]*@", "//", text)


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
