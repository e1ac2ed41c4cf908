"""One graph, everybody who can run it, and what is left of a disagreement: a small file that can be replayed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bitq.ir import reference
from bitq.ir.graph import Graph
from bitq.ir.json import to_json
from bitq.ir.reference import Outputs
from bitq.sim.simulate import evaluate
from tests.graphs import corner_inputs
from tests.ir import naive
from tests.property.builds import Build

FAILED = Path(tempfile.gettempdir()) / "bitq-failed-graph.json"


def assert_agreement(graph: Graph, builds: Sequence[Build]) -> None:
    """Hold simulation and C against the reference on corner and random inputs.

    Hypothesis runs the smallest failing graph last, so that is the one in the file.
    """
    try:
        wrong = list(disagreements(graph, builds))
    except Exception as error:
        error.add_note(_kept(graph))
        raise
    assert not wrong, f"{'; '.join(wrong)}. {_kept(graph)}"


def assert_agreement_of_all(graphs: Sequence[Graph], builds: Sequence[Build]) -> None:
    """Hold several graphs at once, which costs a compiler less; where one fails, each alone, so that it is kept."""
    named = [replace(graph, name=f"net{number}") for number, graph in enumerate(graphs)]
    inputs = [corner_inputs(graph) for graph in named]
    try:
        expected = [reference.evaluate(graph, x) for graph, x in zip(named, inputs, strict=True)]
        everybody = [[evaluate(graph, x) for graph, x in zip(named, inputs, strict=True)]]
        everybody += [build.run_all(named, inputs) for build in builds]
        agreed = not any(
            list(_compare("", *pair)) for results in everybody for pair in zip(results, expected, strict=True)
        )
    except Exception:
        agreed = False
    if not agreed:
        for graph in graphs:
            assert_agreement(graph, builds)
        raise AssertionError(f"{len(graphs)} graphs disagree together, but none of them alone")


def disagreements(graph: Graph, builds: Sequence[Build], *, loops: bool = False) -> Iterator[str]:
    """Yield everybody who differs from the reference, and where first; with ``loops`` plain Python loops too."""
    x = corner_inputs(graph)
    expected = reference.evaluate(graph, x)
    yield from _compare("simulation", evaluate(graph, x), expected)
    if loops:
        rows = [naive.run(graph, row) for row in x]
        scores = [[value for name in graph.outputs for value in row[name]] for row in rows]
        winners = [row[graph.winner][0] if graph.winner else 0 for row in rows]
        yield from _compare("loops", Outputs(np.array(scores), np.array(winners)), expected)
    for build in builds:
        yield from _compare(str(build), build.run(graph, x), expected)


def _compare(name: str, got: Outputs, expected: Outputs) -> Iterator[str]:
    for what, a, b in (("score", got.scores, expected.scores), ("winner", got.winners, expected.winners)):
        places = np.argwhere(a != b)
        if len(places):
            at = tuple(places[0].tolist())
            yield f"{name}: {what} {at} is {a[at]}, the reference says {b[at]} ({len(places)} differ)"


def _kept(graph: Graph) -> str:
    FAILED.write_text(to_json(graph))
    return f"Run it again: python -m tests.property.replay {FAILED}"
