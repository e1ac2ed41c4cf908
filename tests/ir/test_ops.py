"""What the rest of the project has to know of every operation; a new one is tested by existing."""

import inspect
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, settings

from bitq.codegen.ops.table import PRINTERS
from bitq.ir.ops import OPS, Reshape
from bitq.ir.ops.base import Op
from tests.graphs import graphs

EVERY = pytest.mark.parametrize("kind", OPS, ids=lambda kind: kind.__name__)


def concrete(kind):
    return {k for sub in kind.__subclasses__() for k in concrete(sub)} | (
        {kind} - {Op} if not inspect.isabstract(kind) else set()
    )


def test_the_list_of_operations_is_complete_and_in_order():
    # Code generation may join operations in forms of its own.
    assert set(OPS) == {kind for kind in concrete(Op) if kind.__module__.startswith("bitq.ir.")}
    names = [kind.__name__ for kind in OPS]
    assert names == sorted(set(names))


@EVERY
def test_it_says_what_it_means_and_has_rules(kind):
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    assert all(getattr(kind, name) is not getattr(Op, name) for name in ("check", "infer_shape", "evaluate"))


@EVERY
def test_what_it_sums_is_bounded(kind):
    # A rescale reads a sum, and a dense layer within an operation makes one.
    sums = any(word in str(field.type) for field in fields(kind) for word in ("Rescale", "Dense"))
    assert sums <= (kind.accumulators is not Op.accumulators)


@EVERY
def test_it_has_c(kind):
    # A value in another shape shares the buffer of what it is made of.
    assert (kind in PRINTERS) != issubclass(kind, Reshape)


def test_every_operation_is_drawn():
    seen = set()

    @settings(
        max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(graphs())
    def draw(graph):
        seen.update(type(op) for op in graph.ops)

    draw()
    assert seen == set(OPS)
