"""Finds what a killed process left behind as "running" and says so, in MLflow and in result.json.

Every running command holds locks that the system frees when it ends in any way; a free lock under a run that
calls itself running proves that nobody runs it. Called at the start of every command; what is locked is left alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bitq.core import files
from bitq.track import store

FOUND = "found dead at next start"
RUN_LOCK = "run.lock"


def sweep(track_folder: Path, outputs: Path) -> list[str]:
    """Mark all that died, in both places, and return a line of text for each."""
    studies = [f"study {name}: {FOUND}, marked KILLED in MLflow" for name in sweep_stale(track_folder)]
    return studies + [f"{path}: {FOUND}, marked interrupted" for path in sweep_results(outputs)]


def sweep_stale(folder: Path) -> list[str]:
    """End the MLflow runs of studies whose process is gone.

    MLflow is imported only if there is such a study, so a clean start costs nothing.

    Args:
        folder: the tracking folder.

    Returns:
        The ids of the studies that were marked.

    Raises:
        BitqError: there is one, and the store cannot be used.
    """
    swept: list[str] = []
    here = store.mark(folder)
    for lock in sorted((folder / "locks").glob("*.lock")):
        if lock.name == store.CREATE_LOCK:
            continue
        with files.locked(lock) as free:
            if free and lock.exists():
                content = _read(lock)
                study = content.get("study")
                if content.get("store", here) != here:
                    continue  # of another store; told when that one is in use again
                if isinstance(study, str) and store.exists(folder):
                    _kill(folder, study, content.get("process"))
                    swept.append(study)
                lock.unlink(missing_ok=True)
    return swept


def sweep_results(outputs: Path) -> list[Path]:
    """Mark every result.json that says "running" and whose ``run.lock`` is free as interrupted.

    Args:
        outputs: folder of all run folders.

    Returns:
        The files that were changed.
    """
    swept: list[Path] = []
    for path in sorted(outputs.rglob("result.json")):
        if _read(path).get("status") != "running":
            continue
        with files.locked(path.parent / RUN_LOCK) as free:
            result = _read(path)  # again: it may have ended meanwhile
            if free and result.get("status") == "running":
                files.write_json(path, {**result, "status": "interrupted", "error": FOUND})
                swept.append(path)
    return swept


def _kill(folder: Path, study: str, process: Any) -> None:
    client, uri = store.open_client(folder), store.address(folder)
    with store.reported(uri, f"ending the dead study {study}"):
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        for run in client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=10_000):
            if run.data.tags.get("bitq.study") == study:
                client.set_tag(run.info.run_id, "bitq.interrupted", f"{FOUND} (process {process})")
                client.set_tag(run.info.run_id, "bitq.status", "interrupted")
                client.set_terminated(run.info.run_id, "KILLED")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
