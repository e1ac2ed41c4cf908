"""A random recurrent layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from bitq.ir.cells import CELL_FRACTIONS, CELLS, FRACTIONS, NARROWS
from bitq.ir.ops import Dense, Op, Recurrent
from bitq.ir.types import INT32, INT32_MAX, WEIGHT_DTYPES, Rescale, TensorType
from tests.graphs.parts import Draw, Rng, bias, weights


def recurrent(draw: Draw, rng: Rng, name: str, source: str, x: TensorType) -> list[Op]:
    """Draw a recurrent layer of any cell, in either direction, that keeps all its steps or one."""
    cell, units, time = draw(st.sampled_from(list(CELLS))), draw(st.integers(1, 9)), x.shape[1]
    rows, out = CELLS[cell].gates * units, TensorType((units,), CELLS[cell].out, 0.5)
    pick = draw(st.one_of(st.none(), st.integers(0, time - 1)))
    state = part(draw, rng, f"{name}.state", rows, out)
    op = Recurrent(
        name=name,
        inputs=(source,),
        out=out,
        cell=cell,
        input=part(draw, rng, f"{name}.input", rows, replace(x, shape=x.shape[2:])),
        state=state,
        fraction=draw(st.integers(*FRACTIONS)),
        cell_fraction=draw(st.integers(*CELL_FRACTIONS)),
        narrow=draw(st.integers(narrow(state, out), NARROWS[1])),
        shift=draw(st.integers(max(CELLS[cell].shifts[0], CELLS[cell].shifts[1] - 7), CELLS[cell].shifts[1])),
        reverse=draw(st.booleans()),
        pick=pick,
    )
    return [replace(op, out=replace(out, shape=op.infer_shape(x)))]


def part(draw: Draw, rng: Rng, name: str, rows: int, x: TensorType) -> Dense:
    """Draw one matrix of a cell; its parts take up to 29 bits."""
    dtype = draw(st.sampled_from(list(WEIGHT_DTYPES.values())))
    codes = weights(rng, (rows, x.size), dtype)
    op = Dense(name=name, inputs=(), out=TensorType((rows,), INT32, 1.0), weights=codes, bias=bias(rng, rows) >> 6)
    reach = op.accumulators(x)[0].magnitude + 1
    most = min(32767, max(1, (INT32_MAX >> 2) // reach))
    multiplier = rng.integers(max(1, most >> int(rng.integers(1, 12))), most + 1, rows if rng.random() < 0.5 else 1)
    return replace(op, rescale=Rescale(multiplier.astype(np.int16), 0, 0, 0, INT32.low, INT32.high))


def narrow(state: Dense, out: TensorType) -> int:
    """Return the fewest bits that its parts drop so that they fit in 16."""
    assert state.rescale is not None
    most = state.accumulators(out)[0].magnitude * int(state.rescale.multiplier.max())
    return max(0, most.bit_length() - 15)
