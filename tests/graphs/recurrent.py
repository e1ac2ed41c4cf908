"""A random recurrent layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from bitq.ir.cells import CELL_FRACTIONS, CELLS, FRACTIONS, PART, SHIFTS
from bitq.ir.ops import Dense, Op, Recurrent
from bitq.ir.types import INT16, INT32, INT32_MAX, WEIGHT_DTYPES, Rescale, TensorType
from tests.graphs.parts import Draw, Rng, bias, weights


def recurrent(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a recurrent layer of any cell, in either direction, that keeps all its steps or one."""
    cell, units, time = draw(st.sampled_from(list(CELLS))), draw(st.integers(1, 9)), x.shape[1]
    rows, out = CELLS[cell].gates * units, TensorType((units,), CELLS[cell].out, 0.5)
    pick = draw(st.one_of(st.none(), st.integers(0, time - 1)))
    op = Recurrent(
        name=name,
        inputs=(source,),
        out=out,
        cell=cell,
        input=part(draw, rng, f"{name}.input", rows, replace(x, shape=x.shape[2:])),
        state=part(draw, rng, f"{name}.state", rows, out),
        fraction=draw(st.integers(*FRACTIONS)),
        cell_fraction=draw(st.integers(*CELL_FRACTIONS)),
        shift=draw(st.integers(*SHIFTS)),
        reverse=draw(st.booleans()),
        pick=pick,
    )
    return [replace(op, out=replace(out, shape=op.infer_shape(x)))]


def part(draw: Draw, rng: Rng, name: str, rows: int, x: TensorType) -> Dense:
    """Draw one matrix of a cell; its parts mostly stay within their limits."""
    dtype = draw(st.sampled_from(list(WEIGHT_DTYPES.values())))
    codes = weights(rng, (rows, x.size), dtype)
    op = Dense(name=name, inputs=(), out=TensorType((rows,), INT32, 1.0), weights=codes, bias=bias(rng, rows) >> 6)
    reach = op.accumulators(x)[0].magnitude + 1
    shift = int(rng.integers(0, 16))
    most = min(32767, max(1, min(4 * PART * 2**shift // reach, (INT32_MAX - 2**15) // reach)))
    multiplier = rng.integers(max(1, most // 4), most + 1, rows if rng.random() < 0.5 else 1).astype(np.int16)
    low, high = (-PART, PART) if rng.random() < 0.75 else sorted(int(v) for v in rng.integers(-PART, PART + 1, 2))
    return replace(op, out=replace(op.out, dtype=INT16), rescale=Rescale(multiplier, 0, shift, 0, low, high))
