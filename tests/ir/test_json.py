import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitq.codegen.emit import emit
from bitq.core.errors import DeployError, RangeError
from bitq.ir.graph import Graph
from bitq.ir.json import from_json, to_json
from bitq.ir.reference import evaluate
from tests.codegen.nets import sequence_net
from tests.graphs import corner_inputs, graphs

SOME = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
NUMBERS = [0, -1, 1, 3, 2**15, 2**40, 10**400, 0.5, 1e308, None, True]
ARRAYS = [{}, {"int8": [1]}, {"int32": [2**31]}, {"float64": [0.0]}, [], [1], [[2]]]
JUNK = [*NUMBERS, *ARRAYS, "", "net", "INT8", "BIPOLAR", "Conv"]


@SOME
@given(graphs())
def test_a_graph_comes_back_as_it_was(graph):
    text = to_json(graph)
    back = from_json(text)
    assert to_json(back) == text
    assert emit(back).files == emit(graph).files
    x = corner_inputs(graph, rows=2)
    np.testing.assert_array_equal(evaluate(back, x).scores, evaluate(graph, x).scores)


def places(value, path=()):
    """Yield the path of everything in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def mutated(document, draw):
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(document))))
        parent = document
        for key in path[:-1]:
            parent = parent[key]
        match draw(st.integers(0, 3)):
            case 0:
                del parent[path[-1]]
            case 1 if isinstance(parent, list):
                parent.insert(path[-1], copy.deepcopy(parent[path[-1]]))
            case 2 if isinstance(parent[path[-1]], int | float):
                parent[path[-1]] += draw(st.sampled_from([-1, 1, 100, -(2**31)]))
            case _:
                parent[path[-1]] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    return document


def refused_or_a_graph(text):
    try:
        graph = from_json(text)
    except DeployError:
        return
    assert isinstance(graph, Graph)
    assert from_json(to_json(graph)) is not graph
    evaluate(graph, np.zeros((1, graph.input.size), np.int8))


@pytest.mark.filterwarnings("error")
@settings(SOME, max_examples=150)
@given(st.data())
def test_a_damaged_document_is_refused_by_name_or_is_a_graph(data):
    refused_or_a_graph(json.dumps(mutated(json.loads(to_json(sequence_net())), data.draw)))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_documents():
    @settings(SOME, max_examples=10_000, database=None)
    @given(st.data(), graphs())
    def check(data, graph):
        refused_or_a_graph(json.dumps(mutated(json.loads(to_json(graph)), data.draw)))

    check()


@given(st.text())
@settings(SOME, max_examples=40)
def test_any_other_text_is_refused(text):
    with pytest.raises(DeployError, match="graph"):
        from_json(text)


def document(**changes):
    return json.dumps({**json.loads(to_json(sequence_net())), **changes})


def with_op(**changes):
    content = json.loads(to_json(sequence_net()))
    content["ops"][0].update(changes)
    return json.dumps(content)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (document(schema_version=1), r"schema_version is 1; this bitq reads 2"),
        (document(schema_version=True), "schema_version is True"),
        (document(extra=1), "Graph has no field 'extra'"),
        (with_op(op="Convv"), r"graph.ops\[0\]: unknown operation 'Convv'. Did you mean 'Conv'"),
        (with_op(strid=[1, 1]), r"graph.ops\[0\] \(Conv\): Conv has no field 'strid'. Did you mean 'stride'"),
        (with_op(stride=[1]), r"stride: 2 values are expected, got 1"),
        (with_op(stride="1"), r"stride: a list is expected, got '1'"),
        (with_op(groups=1.0), r"groups: int is expected, got '1.0'"),
        (with_op(bias={"int8": [1]}), r"bias: an array {'int32': \[…\]} is expected"),
        (with_op(bias={"int32": [2**31]}), r"bias: (values|no array) of int32"),
        (with_op(bias={"int32": [[1], 2]}), r"bias: no array of int32"),
        (with_op(bias={"int32": [1e308]}), r"bias: values of int32"),
        (with_op(bias={"int32": [1.0]}), r"bias: values of int32"),
        (with_op(bias={"int32": []}), r"bias: values of int32"),
        (document(name="net").replace('{"float64": [', '{"float64": ["1", '), r"scale: values of float64"),
        (with_op(out={"shape": [1], "dtype": "INT9", "scale": 1.0}), r"out.dtype: unknown number format 'INT9'"),
        (document(name="net").replace('"scale": 0.05', '"scale": NaN'), "NaN is not a number"),
        ("[]", "an object is expected, got list"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("{}", "schema_version is None"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text, says):
    with pytest.raises(DeployError, match=says):
        from_json(text)


def test_a_graph_that_does_not_fit_is_refused_here_too():
    graph = sequence_net()
    text = to_json(
        replace(graph, ops=(*graph.ops[:2], replace(graph.ops[2], bias=np.array([2**31 - 1, 0], np.int32))))
    )
    with pytest.raises(RangeError, match="fc"):
        from_json(text.replace('"winner": "winner"', '"winner": null'))
