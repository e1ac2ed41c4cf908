"""Roundings that a file asks for: modules of their own, which lowering turns into number formats."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, fx

from bitq.ir.types import INT8, UINT8, DType, TensorType
from bitq.lowering.builder import Builder, Lazy, Value
from bitq.lowering.shapes import Arranged
from bitq.lowering.standins import Whole
from bitq.lowering.trace import Seen


class Quantize(Whole):
    """Rounding to ``scale · (low − zero_point … high − zero_point)``, as a file asks for it.

    Args:
        scale: real value of one step.
        zero_point: the integer that stands for 0.0.
        dtype: INT8 or UINT8.
        low: least integer.
        high: largest integer.
    """

    def __init__(self, scale: float, zero_point: int, dtype: DType, low: int, high: int) -> None:
        super().__init__()
        self.scale, self.zero_point, self.dtype, self.low, self.high = scale, zero_point, dtype, low, high

    @property
    def kind(self) -> TensorType:
        """Its number format, without a shape."""
        return TensorType((), self.dtype, self.scale, self.zero_point)

    def forward(self, x: Tensor) -> Tensor:
        """Round, half to even as ONNX does."""
        integers = torch.round(x / self.scale) + self.zero_point
        return (integers.clamp(self.low, self.high) - self.zero_point) * self.scale


def quantize(builder: Builder, node: fx.Node, module: Quantize) -> Value | Lazy:
    """Bring a value to the number format that the file gives it."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    value, name = builder.raw(source), str(node.target)
    if isinstance(value, Arranged):  # what is only moved stays where it is
        return replace(value, x=builder.cast(name, value.x, module.kind, module.low, module.high))
    return builder.cast(name, builder.value(source), module.kind, module.low, module.high)


def pin(traced: fx.GraphModule, seen: dict[str, Seen]) -> None:
    """Let values that are only read to be rounded have the number format of that rounding from the start."""
    for node in traced.graph.nodes:
        kinds = [_kind(traced, user) for user in node.users]
        if node.name in seen and kinds and kinds[0] is not None and all(kind == kinds[0] for kind in kinds):
            seen[node.name] = replace(seen[node.name], kind=kinds[0])


def _kind(traced: fx.GraphModule, node: fx.Node) -> TensorType | None:
    module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
    return module.kind if isinstance(module, Quantize) else None


def signed(quantize: Quantize) -> Quantize:
    """Return the same levels as INT8, for the input of the chip."""
    shift = 128 if quantize.dtype is UINT8 else 0
    return Quantize(quantize.scale, quantize.zero_point - shift, INT8, quantize.low - shift, quantize.high - shift)
