"""Random graphs: the torch simulation and the C of every compiler give the integers of the reference."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitq.ir.graph import Graph
from bitq.ir.json import from_json
from bitq.ir.reference import Outputs, evaluate
from tests.codegen.nets import sequence_net
from tests.graphs import corner_inputs, graphs
from tests.property import agreement, replay
from tests.property.builds import GCC, ZIG, Build, run_sanitized

SOME = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(SOME, max_examples=2000, database=None)
SANITIZED = [
    Build("gcc", (level, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"), optimize)
    for level, optimize in (("-O0", "size"), ("-O2", "speed"), ("-O2", "size"))
]
GROUPS = st.integers(1, 40).flatmap(lambda count: st.lists(graphs(), min_size=count, max_size=count))
NEEDS_GCC = pytest.mark.skipif(not GCC, reason="the sanitizers come with gcc")


@SOME
@given(graphs())
def test_simulation_and_c_equal_the_reference(graph: Graph) -> None:
    agreement.assert_agreement(graph, GCC or ZIG[1:])


@settings(SOME, max_examples=8)
@given(graphs())
def test_zig_agrees(graph: Graph) -> None:
    agreement.assert_agreement(graph, ZIG[2:])


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_build_agrees_on_two_thousand_graphs() -> None:
    done = 0

    @settings(MANY, max_examples=150)
    @given(GROUPS)
    def check(group: list[Graph]) -> None:
        nonlocal done
        agreement.assert_agreement_of_all(group, [*GCC, *ZIG])
        done += len(group)

    check()
    assert done >= 2000
    print(f"{done} graphs, {len(GCC + ZIG)} builds, no mismatch")


def assert_clean(graph: Graph, build: Build) -> None:
    x = corner_inputs(graph)
    got, expected = run_sanitized(build, graph, x), evaluate(graph, x)
    np.testing.assert_array_equal(got.scores, expected.scores)
    np.testing.assert_array_equal(got.winners, expected.winners)


@NEEDS_GCC
@settings(SOME, max_examples=5)
@given(graphs())
def test_sanitizers_find_nothing(graph: Graph) -> None:
    assert_clean(graph, SANITIZED[1])


@NEEDS_GCC
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_sanitizers_find_nothing_in_many_graphs() -> None:
    @settings(MANY, max_examples=400)
    @given(graphs(), st.sampled_from(SANITIZED))
    def check(graph: Graph, build: Build) -> None:
        assert_clean(graph, build)

    check()


def test_a_disagreement_leaves_a_file_that_one_command_replays(monkeypatch, tmp_path, capsys):
    graph = sequence_net(name="net")
    monkeypatch.setattr(agreement, "FAILED", tmp_path / "failed.json")
    monkeypatch.setattr(
        agreement, "evaluate", lambda graph, x: Outputs(evaluate(graph, x).scores + 1, np.zeros(len(x)))
    )
    with pytest.raises(AssertionError, match=r"simulation: score \(0, 0\) is .*python -m tests.property.replay"):
        agreement.assert_agreement(graph, [])
    assert from_json((tmp_path / "failed.json").read_text()).name == "net"
    assert replay.main(str(tmp_path / "failed.json")) == 1
    monkeypatch.undo()
    assert replay.main(str(tmp_path / "failed.json")) == 0
    assert f"{len(GCC + ZIG)} builds agree" in capsys.readouterr().out
