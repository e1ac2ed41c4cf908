"""The last epochs on the integer model: never worse on validation, codes stay codes, the same twice, exact."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

import bitq
from bitq.api import named_method
from bitq.ir.graph import Graph
from bitq.ir.reference import evaluate
from bitq.quant.quantizer import Quantizer
from bitq.sim.simulate import simulate
from bitq.train.polish import Polish, Rows, polish

WEIGHTS = torch.ones(3)


@functools.cache
def task() -> tuple[Rows, Rows]:
    random = torch.Generator().manual_seed(0)
    teacher = torch.randn(8, 3, generator=random)
    parts = []
    for count in (2048, 512):
        x = torch.randint(-100, 101, (count, 8), generator=random)
        parts.append(Rows(x.to(torch.int8), (x.float() @ teacher).relu().argmax(1)))
    return parts[0], parts[1]


@functools.cache
def lowered(book: str) -> Graph:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3), nn.BatchNorm1d(3)).eval()
    nn.init.uniform_(model[1].weight, 0.3, 2.0)
    quantized = Quantizer(model, {"*": book}, named_method("ptq")).finish()
    return bitq.lower(quantized, task()[0].x[:500].float() / 127)


def loss_of(graph: Graph, rows: Rows) -> float:
    simulation = simulate(graph)
    return float(nn.functional.cross_entropy(simulation.real(simulation(rows.x)), rows.y))


def codes_of(graph: Graph) -> list[np.ndarray]:
    return [weights.codes for op in graph.ops for weights in op.matrices]


BOOKS = pytest.mark.parametrize("book", ["bipolar", "ternary", "odd2"])


@BOOKS
def test_biases_and_multipliers_learn_while_codes_stay(book):
    train, val = task()
    graph = lowered(book)
    better = polish(graph, train, val, WEIGHTS, Polish(epochs=3, lr=0.02), 0)
    assert loss_of(better, val) < loss_of(graph, val)
    assert all(np.array_equal(a, b) for a, b in zip(codes_of(graph), codes_of(better), strict=True))


@BOOKS
def test_the_search_moves_codes_within_their_codebook_and_lowers_the_loss(book):
    train, val = task()
    tuned = polish(lowered(book), train, val, WEIGHTS, Polish(lr=0.02), 0)
    searched = polish(lowered(book), train, val, WEIGHTS, Polish(lr=0.02, flips=20, flip_rows=1024), 0)
    moved = [a != b for a, b in zip(codes_of(tuned), codes_of(searched), strict=True)]
    assert any(m.any() for m in moved)
    assert loss_of(searched, train) < loss_of(tuned, train)
    assert all(weights.dtype.allows(weights.codes) for op in searched.ops for weights in op.matrices)


def test_it_is_the_same_twice_and_exact():
    train, val = task()
    first, again = (polish(lowered("bipolar"), train, val, WEIGHTS, Polish(flips=5, flip_rows=512), 7) for _ in "ab")
    x = val.x.numpy()
    assert np.array_equal(evaluate(first, x).scores, evaluate(again, x).scores)
    assert np.array_equal(simulate(first)(val.x).numpy(), evaluate(first, x).scores)


def test_what_is_worse_on_validation_is_not_kept():
    train, val = task()
    wrong = Rows(val.x, (val.y + 1) % 3)
    graph = lowered("bipolar")
    assert polish(graph, train, wrong, WEIGHTS, Polish(lr=0.05), 0) is graph


def test_multipliers_become_powers_of_two():
    train, val = task()
    graph = polish(lowered("bipolar"), train, val, WEIGHTS, Polish(lr=0.02, powers_of_two=True), 0)
    multipliers = np.concatenate(
        [op.rescale.multiplier for op in graph.ops if getattr(op, "rescale", None) is not None]
    )
    assert (np.log2(multipliers) % 1 == 0).all()
    assert len(np.unique(multipliers)) > 1
