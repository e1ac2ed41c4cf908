"""What the rest of the project has to know of every operation; a new one is tested by existing."""

import inspect
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from bitq.codegen.ops.table import PRINTERS
from bitq.ir.ops import OPS, Reshape
from bitq.ir.ops.base import Op
from bitq.ir.types import Rescale
from bitq.sim.ops.table import OPERATIONS
from tests.graphs import graphs
from tests.ir import naive

NAIVE = Path(naive.__file__).read_text()


def missing(kind: type[Op]) -> list[str]:
    """Return what the project still asks for before an operation is one of its own."""
    file = f"bitq/ir/ops/{Path(inspect.getfile(kind)).name}"
    own = all(getattr(kind, name) is not getattr(Op, name) for name in ("check", "infer_shape", "evaluate"))
    # A rescale reads a sum, and a dense layer within an operation makes one.
    sums = any(word in str(field.type) for field in fields(kind) for word in ("Rescale", "Dense"))
    # A value in another shape shares the buffer of what it is made of.
    printed = kind in PRINTERS or issubclass(kind, Reshape)
    looped = any(f"case {base.__name__}():" in NAIVE for base in kind.__mro__)
    asked = {
        f"a line in bitq/ir/ops/__init__.py that imports {kind.__name__}": kind in OPS,
        f"a docstring in {file} that says what it means": not (kind.__doc__ or "(").startswith(f"{kind.__name__}("),
        f"check, infer_shape and evaluate in {file}": own,
        f"accumulators in {file}, the bounds of what it sums": not sums or kind.accumulators is not Op.accumulators,
        "its C in bitq/codegen/runtime, its call in bitq/codegen/ops, and a row in table.py there": printed,
        "its torch in bitq/sim/ops, and a row in table.py there": kind in OPERATIONS,
        "plain loops in tests/ir/naive.py": looped,
    }
    return [what for what, is_there in asked.items() if not is_there]


@pytest.mark.parametrize("kind", OPS, ids=lambda kind: kind.__name__)
def test_nothing_is_missing(kind):
    assert missing(kind) == []


def test_what_a_new_operation_lacks_is_named():
    before = len(OPS)

    @dataclass(frozen=True, eq=False, kw_only=True)
    class Toy(Op):
        rescale: Rescale

        check = infer_shape = evaluate = lambda self, *_: None

    assert missing(Toy) == [
        "a line in bitq/ir/ops/__init__.py that imports Toy",
        "a docstring in bitq/ir/ops/test_ops.py that says what it means",
        "accumulators in bitq/ir/ops/test_ops.py, the bounds of what it sums",
        "its C in bitq/codegen/runtime, its call in bitq/codegen/ops, and a row in table.py there",
        "its torch in bitq/sim/ops, and a row in table.py there",
        "plain loops in tests/ir/naive.py",
    ]
    assert len(OPS) == before


def test_operations_are_known_by_their_names():
    names = [kind.__name__ for kind in OPS]
    assert names == sorted(set(names))
    assert {"Add", "Conv", "Recurrent", "View"} <= set(names)
    assert "Linear" not in names  # what Conv and Dense have in common


def test_every_operation_is_drawn():
    seen = set()

    @settings(
        max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(graphs())
    def draw(graph):
        seen.update(type(op) for op in graph.ops)

    draw()
    undrawn = ", ".join(kind.__name__ for kind in set(OPS) - seen)
    assert not undrawn, f"a generator in tests/graphs and a row in draw.py for {undrawn}"
