"""ONNX files on disk, read without torch: a configuration asks what one holds before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitq.core.errors import ConfigError
from bitq.lowering.imports.folding import package

MAX_BYTES = 2**28
QUANTIZED = frozenset([
    "BipolarQuant", "ConvInteger", "DequantizeLinear", "MatMulInteger", "QGemm", "QLinearAdd", "QLinearAveragePool",
    "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMatMul", "QLinearMul",
    "QLinearSigmoid", "Quant", "QuantizeLinear",
])  # fmt: skip
"""Operators that say what is an integer; `bitq.lowering.imports.integers` says what they mean."""


def load(path: str | Path) -> Any:
    """Return the ``onnx.ModelProto`` of a file.

    Raises:
        ConfigError: the file is missing or damaged, or the onnx package is.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; name an ONNX model.")
    onnx = package()
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path}: {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read.")
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise ConfigError(f"{path} cannot be read as an ONNX model ({str(error).splitlines()[0][:200]}).") from error
    return proto


def is_quantized(path: str | Path) -> bool:
    """Whether a file says of some numbers which integers they are; False where there is none.

    Raises:
        ConfigError: the file is damaged, or the onnx package is missing.
    """
    if not Path(path).expanduser().is_file():
        return False
    return any(node.op_type in QUANTIZED for node in load(path).graph.node)
