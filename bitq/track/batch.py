"""Writing one run's numbers and texts to MLflow: few calls, legal names, and nothing that MLflow would falsify.

MLflow stores infinity as 1.8e308 and cuts long texts silently; both are told apart here before they get there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bitq.track.names import artifact, finite, legal
from bitq.track.tracker import History

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

MAX_PARAM = 6_000
MAX_POINTS = 20_000
BATCH_METRICS, BATCH_REST = 1_000, 100


def now_ms() -> int:
    """Return the time as MLflow counts it."""
    return time.time_ns() // 1_000_000


def write_run(
    client: MlflowClient,
    run: str,
    metrics: Mapping[str, float | None] | None = None,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    history: History | None = None,
) -> None:
    """Log everything about a run in as few calls as MLflow allows.

    Numbers that are not finite become tags, texts past 6,000 characters become artifacts, and curves of more
    than 20,000 points keep every n-th epoch and the last.

    Args:
        client: of MLflow.
        run: id of the run.
        metrics: final values; None is left out.
        params: of any type, written as text.
        tags: as they are.
        history: curves, epoch 1 first.
    """
    from mlflow.entities import Metric, Param, RunTag

    now = now_ms()
    extra = dict(tags or {})
    points: list[Metric] = []

    def add(name: str, value: float | None, step: int) -> None:
        if finite(value):
            points.append(Metric(legal(name), float(value or 0), now, step))
        elif value is not None:
            extra.setdefault(legal(f"bitq.nonfinite.{name}"), f"{value} at step {step}")

    curves = history or []
    stride = max(1, -(-sum(map(len, curves)) // MAX_POINTS))
    for epoch, values in enumerate(curves, start=1):
        if epoch % stride == 0 or epoch == len(curves):
            for name, value in values.items():
                add(name, value, epoch)
    if stride > 1:
        extra["bitq.thinned"] = f"every {stride}th epoch of {len(curves)}"
    for name, value in (metrics or {}).items():
        add(name, value, 0)
    short: list[Param] = []
    for name, value in (params or {}).items():
        text, key = "" if value is None else str(value), legal(name)
        if len(text) > MAX_PARAM:
            path = artifact("params", f"{key.replace('/', '.')}.txt")
            client.log_text(run, text, path)
            text = f"see artifact {path}"
        short.append(Param(key, text))
    marks = [RunTag(key, value) for key, value in extra.items()]
    for start in range(0, len(points), BATCH_METRICS):
        client.log_batch(run, metrics=points[start : start + BATCH_METRICS])
    for start in range(0, max(len(short), len(marks)), BATCH_REST):
        end = start + BATCH_REST
        client.log_batch(run, params=short[start:end], tags=marks[start:end])
