"""Pages of the MLflow user interface: deep links into the runs table, and saved views that wait there.

MLflow opens on a page about language models and hides what matters here behind three clicks; a link straight
to the runs of an experiment, in its "machine_learning" mode, avoids both. A saved view is an experiment tag
whose form is MLflow's own business: a release that reads it differently merely shows no view.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bitq.core.metrics import ERRORS
from bitq.track.names import legal

HOST = "127.0.0.1"
PORT = 5000
VIEW_TAG = "mlflow.sharedViewState."
TRADE, REPEATS = "bitq-variants", "bitq-repeats"


@dataclass(frozen=True)
class View:
    """A saved view: its id in links, its name in the menu, and the state of the page as JSON values."""

    key: str
    name: str
    state: dict[str, Any]

    def tag(self, now_ms: int) -> tuple[str, str]:
        """Return key and value of the experiment tag that holds the view."""
        value = {"name": self.name, "createdAt": now_ms, "updatedAt": now_ms, "state": json.dumps(self.state)}
        return VIEW_TAG + self.key, json.dumps(value)


def runs_page(experiment_id: str, view: str = "", *, charts: bool = False, server: str = "") -> str:
    """Return the address of an experiment's runs.

    Args:
        experiment_id: of MLflow.
        view: key of a saved view that the experiment has.
        charts: charts rather than the table.
        server: root address; where it is empty, MLFLOW_TRACKING_URI if that is one, else the local server.
    """
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    root = server or (tracking if tracking.startswith("http") else f"http://{HOST}:{PORT}")
    page = f"{root.rstrip('/')}/#/experiments/{quote(experiment_id)}/runs?workflowType=machine_learning"
    page += f"&viewStateShareKey={quote(view)}" if view else ""
    return page + ("&compareRunsMode=CHART" if charts else "")


def views(metric: str) -> list[View]:
    """Return the saved views of an experiment whose variants are judged by ``metric``."""
    score = legal(metric)
    worst = f"{score}.worst"
    columns = [f"metrics.`{name}`" for name in (score, worst, "flash_bytes", "instructions")]
    columns.append("params.`exact`")
    return [
        View(
            TRADE,
            f"{metric} vs flash",
            _state(
                "tags.\"bitq.kind\" = 'config'",
                columns,
                TRADE,
                [
                    _scatter(TRADE, "flash_bytes", score),
                    _bar(TRADE, score),
                    _bar(TRADE, worst),
                    _bar(TRADE, "flash_bytes"),
                    _bar(TRADE, "instructions"),
                ],
                order=f"metrics.`{score}`",
                ascending=metric in ERRORS,
            ),
        ),
        View(
            REPEATS,
            "mean over repeats",
            {
                **_state(
                    "tags.\"bitq.kind\" = 'repeat'",
                    columns[:1],
                    REPEATS,
                    [_line(REPEATS, f"val/{score}"), _line(REPEATS, "train/loss"), _bar(REPEATS, score)],
                ),
                "groupBy": {
                    "aggregateFunction": "average",
                    "groupByKeys": [{"mode": "tag", "groupByData": "bitq.variant"}],
                },
                "useGroupedValuesInCharts": True,
            },
        ),
    ]


def _state(
    search: str,
    columns: list[str],
    section: str,
    charts: list[dict[str, Any]],
    order: str = "",
    *,
    ascending: bool = False,
) -> dict[str, Any]:
    ordered = {"orderByKey": order, "orderByAsc": ascending} if order else {}
    return {
        "searchFilter": search,
        **ordered,
        "selectedColumns": columns,
        "runsHiddenMode": "SHOW_ALL",
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsPinned": [],
        "runsExpanded": {},
        "groupsExpanded": {},
        "groupBy": None,
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": section, "name": "bitq", "display": True, "isReordered": True, "isGenerated": False}
        ],
    }


def _chart(section: str, kind: str, key: str, more: dict[str, Any]) -> dict[str, Any]:
    common = {"type": kind, "uuid": f"{section}-{key}", "metricSectionId": section}
    return {**common, "deleted": False, "isGenerated": False, "runsCountToCompare": 100, **more}


def _bar(section: str, metric: str) -> dict[str, Any]:
    return _chart(section, "BAR", f"bar-{metric}", {"metricKey": metric})


def _line(section: str, metric: str) -> dict[str, Any]:
    more: dict[str, Any] = {
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "lineSmoothness": 0,
        "xAxisKey": "step",
        "scaleType": "linear",
        "range": {},
    }
    return _chart(section, "LINE", f"line-{metric}", more)


def _scatter(section: str, x: str, y: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}
    return _chart(section, "SCATTER", f"scatter-{x}-{y}", {**axes, "displayName": f"{y} against {x}"})
