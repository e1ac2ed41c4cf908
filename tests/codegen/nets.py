"""A small network for sequences, as a trained one looks: convolution, pool, dense, winner."""

from dataclasses import replace

import numpy as np

from bitq.ir.graph import Graph
from bitq.ir.ops import ArgMax, Conv, Dense, MaxPool
from bitq.ir.types import BIPOLAR, INT8, INT32, UINT8, DType, Rescale, TensorType
from tests.graphs import weights


def sequence_net(dtype: DType = BIPOLAR, seed: int = 0, name: str = "gesture") -> Graph:
    rng = np.random.default_rng(seed)
    x = TensorType((1, 50, 3), INT8, 0.05, -3)
    conv = Conv(
        name="conv.1",
        inputs=("input",),
        out=TensorType((1, 23, 8), INT32, 1.0),
        weights=weights(rng, (8, 1, 5, 3), dtype),
        bias=rng.integers(-99, 99, 8).astype(np.int32),
        stride=(1, 2),
    )
    hidden = TensorType((1, 23, 8), UINT8, 0.1)
    scale = Rescale((rng.integers(14_000, 18_000, 8) // dtype.high).astype(np.int16), 0, 16, 0, 0, 255)
    conv = replace(conv, out=hidden, rescale=scale)
    pool = MaxPool(name="pool", inputs=("conv.1",), out=hidden, kernel=(1, 2), stride=(1, 2))
    pool = replace(pool, out=replace(hidden, shape=pool.infer_shape(hidden)))
    dense = Dense(
        name="fc",
        inputs=("pool",),
        out=TensorType((2,), INT32, 0.01),
        weights=weights(rng, (2, 88), dtype),
        bias=rng.integers(-9, 9, 2).astype(np.int32),
    )
    winner = ArgMax(name="winner", inputs=("fc",), out=TensorType((1,), INT32, 1.0))
    return Graph(name, x, (conv, pool, dense, winner), ("fc",), "winner")
