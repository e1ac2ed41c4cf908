"""The forest as emlearn writes it, one function of comparisons for each tree, built and run like bitq's own."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.ir.graph import Graph
from bitq.ir.types import INT16, TensorType
from bitq.trees.rounding import lattice_of
from pipelines.mcu.forest import fitted
from pipelines.mcu.plain import write_source

MISSING = "emlearn is not installed, so it is not measured beside; run: pip install 'bitq[peers]'"
_STEP = 32  # what the thresholds of bitq, which name one of 20 features, are apart
_HEAD = """#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-parameter"
"""
# The firmware is linked without a C library; a compiler may clear the votes by a call.
_RUN = """
void *memset(void *to, int value, __SIZE_TYPE__ count)
{
    for (unsigned char *at = to; count != 0u; --count) {
        *at++ = (unsigned char)value;
    }
    return to;
}

int32_t n5_run(const int16_t *input, int32_t *scores);

int32_t n5_run(const int16_t *input, int32_t *scores)
{
    scores[0] = n5_predict(input, 20);
    return scores[0];
}
"""


def is_installed() -> bool:
    """Whether emlearn can be measured here."""
    return find_spec("emlearn") is not None


def name() -> str:
    """Return what it is called in the table."""
    return f"emlearn {version('emlearn')} inline int16"


def write_emlearn(folder: Path) -> None:
    """Write a deploy folder of the fitted forest; its only score is the class."""
    import emlearn

    text = emlearn.convert(fitted(_STEP), method="inline", dtype="int16_t").save(name="n5", format="c")
    # Behind it comes what gives probabilities, in floating point, which nobody calls.
    classes = text[: text.index("int n5_predict_proba")]
    write_source(folder, "n5", _HEAD + classes + _RUN, TensorType((20,), INT16, 1.0), [1])


def features_of(graph: Graph, x: NDArray[np.integer[Any]]) -> NDArray[np.int16]:
    """Return the inputs of bitq's forest as features of the same size between the same thresholds."""
    return (lattice_of(graph.input).coarse(x.astype(np.int64)) * _STEP).astype(np.int16)
