"""Random decision trees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from bitq.ir.ops import Features, Forest, Op
from bitq.ir.ops.features import KINDS
from bitq.ir.types import INT8, INT16, INT32, TensorType
from tests.graphs.parts import Draw, Rng


def forest(draw: Draw, rng: Rng, name: str, source: str, x: TensorType, *, named: bool = True) -> Forest:
    """Draw trees of any kind; ``named`` keeps the thresholds to those that name their feature."""
    trees, depth, scores = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 20))
    features = rng.integers(0, x.size, (trees, 2**depth - 1))
    thresholds = rng.integers(x.dtype.low, x.dtype.high + 1, features.shape)
    if named:
        free = 0 if x.dtype is INT16 else 8
        room = max(0, (x.size - 1).bit_length() - free)
        thresholds = (thresholds >> room << room) + (features >> free)
    shape = (trees, 2**depth, 1)
    votes, first = draw(st.booleans()), 0
    if votes:
        leaves = rng.integers(0, scores, shape)
    elif draw(st.booleans()):
        high = draw(st.sampled_from([127, 32767]))
        leaves = rng.integers(-high - 1, high + 1, (trees, 2**depth, scores))
    else:
        leaves, first = rng.integers(-32768, 32768, shape), int(rng.integers(0, scores))
    zero = int(rng.choice([0, -921, 2**30]))  # it tells what a score stands for, and nothing else
    return Forest(
        name=name,
        inputs=(source,),
        out=TensorType((scores,), INT32, 0.25, zero),
        features=features.astype(np.uint16),
        thresholds=thresholds.astype(np.int16),
        leaves=leaves.astype(np.int16),
        votes=votes,
        first=first,
    )


def features(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> Features:
    """Draw statistics of a signal."""
    window = draw(st.integers(2, min(128, x.shape[1])))
    kinds = tuple(kind for kind in KINDS if rng.random() < 0.5) or (draw(st.sampled_from(KINDS)),)
    windows = draw(st.integers(1, x.shape[1] // window))
    out = TensorType((1,), INT16, 1.0)
    op = Features(name=name, inputs=(source,), out=out, window=window, windows=windows, kinds=kinds)
    return replace(op, out=replace(out, shape=op.infer_shape(x)))


def grown(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw trees, over statistics where the value is a signal and the draw says so."""
    if x.dtype is INT8 and len(x.shape) == 3 and x.shape[0] == 1 and x.shape[1] > 1 and draw(st.booleans()):
        before = features(draw, rng, f"{name}.features", source, x)
        named = before.out.size > 256 or draw(st.booleans())
        return [before, forest(draw, rng, name, before.name, before.out, named=named)]
    return [forest(draw, rng, name, source, x)]
