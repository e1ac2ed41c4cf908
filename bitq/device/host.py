"""The deployed C on this machine: compiled into a shared library and called through ctypes.

What it computes is what the chip computes, some thousand times faster; whole test sets run in seconds.
"""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import ToolError
from bitq.device import deployment
from bitq.device.compiler import OPTIMIZE, STRICT, host_compiler

_BATCH = Path(__file__).with_name("batch.c")
_ROWS_PER_CALL = 1024  # so that Ctrl-C is noticed


class Predictions(NamedTuple):
    """What a model returned: ``scores`` int32 ``(n, k)`` and ``winners`` int32 ``(n,)``."""

    scores: NDArray[np.int32]
    winners: NDArray[np.int32]


class HostModel:
    """A deploy folder as a function from integer inputs to scores.

    The library is built in a temporary folder; the deploy folder is only read. One object serves one thread at
    a time, because the C may keep its buffers in static memory.
    """

    def __init__(self, folder: Path, *, optimize: str = "speed", compiler: str = "auto") -> None:
        """Check the sources against the manifest, compile and load them.

        Args:
            folder: the deploy folder.
            optimize: ``size``, ``balanced`` or ``speed``.
            compiler: ``auto`` (the machine's own, else zig), ``zig``, or a program's name.

        Raises:
            DeployError: a source is missing or was changed, or a function is undefined.
            ToolError: the compiler is missing, refuses the sources, hangs, or its output does not load.
        """
        self.deployment = deployment.read(folder)
        tool = host_compiler(compiler)
        self.compiler = tool.name
        with tempfile.TemporaryDirectory(prefix="bitq-host-") as temporary:
            library = Path(temporary) / "model.so"
            flags = [
                *OPTIMIZE[optimize],
                "-fPIC",
                "-shared",
                *STRICT,
                *self.deployment.definitions,
                f"-I{folder.resolve()}",
            ]
            tool.build(flags, [_BATCH, *(source.resolve() for source in self.deployment.sources)], library)
            try:
                self._batch = ctypes.CDLL(str(library)).bitq_batch
            except OSError as error:
                raise ToolError(f"{tool.name}: the compiled model does not load ({error}).") from error
        self._batch.argtypes = (ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self._batch.restype = None

    def predict(self, x: NDArray[Any]) -> Predictions:
        """Run the model on inputs ``(n, *input.shape)`` of the manifest's element type.

        Raises:
            DeployError: shape or element type is another one.
        """
        inputs = self.deployment.samples(x)
        scores = np.zeros((len(inputs), self.deployment.scores), np.int32)
        winners = np.zeros(len(inputs), np.int32)
        for first in range(0, len(inputs), _ROWS_PER_CALL):
            rows = slice(first, first + _ROWS_PER_CALL)
            part = inputs[rows]
            self._batch(len(part), part.ctypes.data, scores[rows].ctypes.data, winners[rows].ctypes.data)
        return Predictions(scores, winners)
