"""Who runs the trials: processes of this machine, or the nodes of a Ray cluster; both are called the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from bitq.core.processes import Done, run_jobs
from bitq.search.config import SearchConfig

Executor = Callable[..., Iterator[Done]]
"""Called like `bitq.core.processes.run_jobs`."""


def executor(config: SearchConfig) -> Executor:
    """Return what runs the jobs of a search."""
    if config.executor == "local":
        return run_jobs
    from bitq.search import ray_jobs

    run: Callable[..., Iterator[Any]] = partial(ray_jobs.run_jobs, config.address)
    return run
