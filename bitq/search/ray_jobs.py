"""Jobs on the nodes of a Ray cluster, called like `bitq.core.processes.run_jobs` with the address first.

Only values cross the wire: a job's argument there, its reports and its result back. bitq has to be installed on every
node in the same version; the process that calls is the only one that writes.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bitq.core import plugins
from bitq.core.errors import ConfigError, TrainingError
from bitq.core.processes import ATTEMPTS, Done, Function, OnReport, StoppedError, reporting

_POLL_S = 0.1


def run_jobs(
    address: str,
    function: Function,
    shared: Any,
    arguments: Iterable[Any],
    *,
    workers: int,
    on_report: OnReport | None = None,
    preload: Sequence[str] = (),
) -> Iterator[Done]:
    """Run ``function(shared, argument)`` for every argument on a Ray cluster and yield each as it ends.

    A job whose worker or node dies begins again elsewhere, with its argument as it is by then.

    Args:
        address: of the cluster (``auto``, ``host:port``), or ``local`` to start one on this machine.
        function: see `bitq.core.processes.run_jobs`, as for the next three.
        shared: sent to each node once.
        arguments: one value per job.
        on_report: called here with each report.
        workers: jobs at the same time, at most; those of the whole cluster where there are more cores.
        preload: not used; Ray keeps its workers.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    del preload
    ray = _connected(address)
    board = ray.remote(num_cpus=0)(_Board).remote()
    remote = ray.remote(num_cpus=1, max_retries=0)(_run)
    data, files = ray.put(shared), plugins.loaded()
    slots = max(workers, int(ray.cluster_resources().get("CPU", 1)))
    waiting = enumerate(arguments)
    pending: dict[Any, tuple[int, Any, int]] = {}

    def begin(index: int, argument: Any, deaths: int) -> None:
        pending[remote.remote(board, files, index, function, data, argument)] = (index, argument, deaths)

    def pass_reports_on() -> None:
        for index, value in ray.get(board.take.remote()):
            if on_report is not None and on_report(index, value):
                board.stop.remote(index)

    try:
        while True:
            for index, argument in islice(waiting, slots - len(pending)):
                begin(index, argument, 0)
            if not pending:
                return
            ready, _ = ray.wait(list(pending), timeout=_POLL_S)
            pass_reports_on()
            for reference in ready:
                index, argument, deaths = pending.pop(reference)
                try:
                    done = Done(index, ray.get(reference), None)
                except ray.exceptions.RayTaskError as error:
                    done = Done(index, None, error.cause)
                except ray.exceptions.RayError as error:
                    if deaths + 1 < ATTEMPTS:
                        begin(index, argument, deaths + 1)
                        continue
                    first = str(error).splitlines()[0]
                    done = Done(index, None, TrainingError(f"workers of Ray died {ATTEMPTS} times: {first}"))
                yield done
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
        ray.kill(board)


class _Board:
    """An actor where running jobs leave their reports and learn whether to stop."""

    def __init__(self) -> None:
        self._reports: list[tuple[int, Any]] = []
        self._stopped: set[int] = set()

    def put(self, index: int, value: Any) -> bool:
        """Keep a report; return whether its job is to end."""
        self._reports.append((index, value))
        return index in self._stopped

    def take(self) -> list[tuple[int, Any]]:
        """Return the reports since the last call."""
        taken, self._reports = self._reports, []
        return taken

    def stop(self, index: int) -> None:
        """Let a job end at its next report."""
        self._stopped.add(index)


def _run(board: Any, files: tuple[Path, ...], index: int, function: Function, shared: Any, argument: Any) -> Any:
    """Run one job; in a worker of Ray."""
    import ray

    for path in files:
        plugins.load(path)

    def send(value: Any) -> None:
        if ray.get(board.put.remote(index, value)):
            raise StoppedError("ended early.")

    with reporting(send):
        return function(shared, argument)


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError("search.executor=ray: Ray is not installed; pip install 'bitq[ray]'.") from error
    if not ray.is_initialized():
        try:
            host, colon, port = address.rpartition(":")
            if colon:  # Ray itself would try for minutes
                socket.create_connection((host, int(port)), timeout=10).close()
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0]
            raise ConfigError(f"search.address: no Ray cluster at '{address}': {first} (see `ray start`).") from error
    return ray
