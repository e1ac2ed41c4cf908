"""bitq trains networks whose weights are 1 bit (or 2, 4, 8, or a mix) and ships them as exact integer C.

The functions below are loaded at first use, so that ``import bitq`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitq.api import export, load, lower, post_training, quantize
    from bitq.callback import Quantization
    from bitq.core.errors import BitqError
    from bitq.data.dataset import InputSpec
    from bitq.lowering.onnx import from_onnx
    from bitq.quant.config import MethodConfig
    from bitq.trees.imports import from_trees

__all__ = [
    "BitqError",
    "InputSpec",
    "MethodConfig",
    "Quantization",
    "export",
    "from_onnx",
    "from_trees",
    "load",
    "lower",
    "post_training",
    "quantize",
]

_HOME = {
    "BitqError": "bitq.core.errors",
    "InputSpec": "bitq.data.dataset",
    "MethodConfig": "bitq.quant.config",
    "Quantization": "bitq.callback",
    "from_onnx": "bitq.lowering.onnx",
    "from_trees": "bitq.trees.imports",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bitq' has no attribute '{name}'")
    return getattr(import_module(_HOME.get(name, "bitq.api")), name)
