"""The figures of a run: which ones there are, and the values that go into each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bitq.core.metrics import ERRORS, title
from bitq.data.dataset import Dataset
from bitq.experiment import graph_answers
from bitq.ir.graph import Graph
from bitq.quant.convergence import REACH
from bitq.stages import Runs, best
from bitq.track import answers, figures
from bitq.track.result import VariantResult


def of_run(folder: Path, runs: Runs, results: dict[str, VariantResult], metric: str) -> list[Path]:
    """Draw what compares the variants: every seed, sizes against the metric, curves and flips.

    Returns:
        The files written, in ``folder/figures``.
    """
    place = folder / "figures"
    per_seed = {name: result.metric.per_seed for name, result in results.items()}
    made = [figures.accuracy(place / "metric.png", per_seed, metric)]
    deployed = {name: result for name, result in results.items() if result.parameter_bytes is not None}
    if deployed:
        parameters = {name: result.parameter_bytes or 0 for name, result in deployed.items()}
        flash = {name: next(iter(result.targets.values())).flash_bytes for name, result in deployed.items()}
        made.append(figures.sizes(place / "sizes.png", per_seed, parameters, flash, metric))
    histories = {name: [t.history for t in trained] for name, trained in runs.items() if trained[0].history}
    if histories:
        made.append(
            figures.curves(
                place / "curves.png",
                histories,
                f"val/{metric}",
                f"validation {title(metric)}",
                percent=metric not in ERRORS,
            )
        )
    flipping = {name: h for name, h in histories.items() if "weights/flips" in h[0][-1]}
    if flipping:
        made.append(figures.curves(place / "flips.png", flipping, "weights/flips", "codes changed per epoch"))
    return made


def of_variant(folder: Path, variant: str, data: Dataset, runs: Runs) -> list[Path]:
    """Draw one variant: its weights before rounding and what its integer model answers on test."""
    chosen = best(runs[variant])
    place = folder / variant / "figures"
    made: list[Path] = []
    if chosen.histograms:
        made.append(figures.weights(place / "weights.png", chosen.histograms))
    if chosen.evolution:
        made.append(figures.evolution(place / "evolution.png", chosen.evolution, REACH))
    if chosen.graph is not None:
        made.append(_answers(place, chosen.graph, data))
    return made


def _answers(place: Path, graph: Graph, data: Dataset) -> Path:
    said = graph_answers(graph, data.test.x, data)
    if data.task == "regression":
        return answers.targets(place / "targets.png", data.test.y, said)
    if data.task == "anomaly":
        return answers.scores(place / "scores.png", said, data.test.y, data.classes)
    counts = np.zeros((len(data.classes), len(data.classes)), np.int64)
    np.add.at(counts, (data.test.y, said), 1)
    return answers.confusion(place / "confusion.png", counts, data.classes)
