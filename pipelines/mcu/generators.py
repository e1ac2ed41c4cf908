"""The forest as other generators of C write it, built and run like bitq's own.

emlearn compares integers of 16 bits; micromlgen compares float, and m2cgen averages double, so on cores without a
floating-point unit both are linked with the functions of gcc's library for that, which count as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.processes import find_tool, run_tool
from bitq.device.config import Core
from bitq.ir.graph import Graph
from bitq.ir.types import INT16, TensorType
from bitq.trees.rounding import lattice_of
from pipelines.mcu.forest import fitted
from pipelines.mcu.plain import write_source

_FEATURES = TensorType((20,), INT16, 1.0)
_STEP = 32  # what the thresholds of bitq, which name one of 20 features, are apart
_HEAD = """#include <stddef.h>
#include <stdint.h>

#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#if defined(__clang__)
#pragma GCC diagnostic ignored "-Wimplicit-float-conversion"
#endif

/* The firmware is linked without a C library; compilers and generators call these. */
void *memset(void *to, int value, size_t count)
{
    for (unsigned char *at = to; count != 0u; --count) {
        *at++ = (unsigned char)value;
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    const unsigned char *next = from;
    for (unsigned char *at = to; count != 0u; --count) {
        *at++ = *next++;
    }
    return to;
}

int32_t n5_run(const int16_t *input, int32_t *scores);
"""
_RUN = """
int32_t n5_run(const int16_t *input, int32_t *scores)
{{
{body}
    return scores[0];
}}
"""


@dataclass(frozen=True)
class Generator:
    """A package that writes a forest of scikit-learn as C.

    Attributes:
        package: what pip and Python call it.
        form: what it compares.
        text: its C with ``n5_run``, whose only score is the class.
        is_floating: whether it computes in floating point.
    """

    package: str
    form: str
    text: Callable[[], str]
    is_floating: bool

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return f"{self.package} {version(self.package)} {self.form}"

    @property
    def missing(self) -> str:
        """Why it cannot be measured here, or empty."""
        if find_spec(self.package) is None:
            return f"{self.package} is not installed, so it is not measured beside; run: pip install 'bitq[peers]'"
        if self.is_floating and not find_tool("arm-none-eabi-gcc"):
            return f"{self.package} needs the library of arm-none-eabi-gcc, which is not installed: not measured."
        return ""

    def write(self, folder: Path) -> None:
        """Write a deploy folder of the fitted forest; its only score is the class."""
        write_source(folder, "n5", _HEAD + self.text(), _FEATURES, [1])

    def libraries(self, core: Core) -> list[Path]:
        """Return what has to be linked with it on a core."""
        if not self.is_floating:
            return []
        told = run_tool([core.gcc_program, *core.gcc, "-print-libgcc-file-name"], timeout_s=30)
        return [Path(told.decode().strip())]


def features_of(graph: Graph, x: NDArray[np.integer[Any]]) -> NDArray[np.int16]:
    """Return the inputs of bitq's forest as features of the same size between the same thresholds."""
    features = lattice_of(graph.input).coarse(x.astype(np.int64)) * _STEP
    return np.maximum(features, INT16.low).astype(np.int16)  # the lowest gap is shorter than the others


def _emlearn() -> str:
    import emlearn

    text = emlearn.convert(fitted(_STEP), method="inline", dtype="int16_t").save(name="n5", format="c")
    # Behind it comes what gives probabilities, in floating point, which nobody calls.
    classes = text[: text.index("int n5_predict_proba")]
    return classes + _RUN.format(body="    scores[0] = n5_predict(input, 20);")


def _m2cgen() -> str:
    import m2cgen

    text = m2cgen.export_to_c(fitted(_STEP)).replace("#include <string.h>\n", "")
    body = """    double x[20];
    double shares[3];
    for (int i = 0; i < 20; ++i) {
        x[i] = input[i];
    }
    score(x, shares);
    scores[0] = 0;
    for (int32_t i = 1; i < 3; ++i) {
        if (shares[i] > shares[scores[0]]) {
            scores[0] = i;
        }
    }"""
    return text + _RUN.format(body=body)


def _micromlgen() -> str:
    from micromlgen import port

    # The body of the only function of its C++ class is C.
    found = re.search(r"int predict\(float \*x\) \{.*?return classIdx;\s*\}", port(fitted(_STEP)), re.DOTALL)
    assert found is not None
    body = """    float x[20];
    for (int i = 0; i < 20; ++i) {
        x[i] = input[i];
    }
    scores[0] = predict(x);"""
    return f"static {found[0]}\n{_RUN.format(body=body)}"


GENERATORS = (
    Generator("emlearn", "inline int16", _emlearn, is_floating=False),
    Generator("micromlgen", "float", _micromlgen, is_floating=True),
    Generator("m2cgen", "double", _m2cgen, is_floating=True),
)
