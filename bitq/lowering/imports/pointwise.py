"""Operators that take every element by itself, and the softmax that may follow them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from bitq.lowering.imports.call import Call, Handler, per_channel
from bitq.lowering.imports.values import Const, Flow
from bitq.lowering.standins import Affine, Curve, Square


def clip(call: Call) -> Const | Flow:
    """A clamp between two constants."""
    low = call.number(1) if call.has(1) else float(call.attribute("min", -np.inf))
    high = call.number(2) if call.has(2) else float(call.attribute("max", np.inf))
    if (low, high) == (-np.inf, np.inf):
        return call.tensor(0)
    if low == 0 and high >= np.finfo(np.float32).max:
        module: nn.Module = nn.ReLU()
    else:
        call.require(low < high, f"its limits are {low:g} and {high:g}")
        module = nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)
    return call.each(module)


def prelu(call: Call) -> Flow:
    """A ramp with a slope per channel, or one, below 0."""
    x = call.real(0)
    slope = call.array(1)
    slope = slope.reshape(-1) if slope.size == 1 else per_channel(call, slope, x.example)
    module = nn.PReLU(len(slope))
    with torch.no_grad():
        module.weight.copy_(torch.tensor(slope))
    return call.into.call(call.name, module, x)


def hard_sigmoid(call: Call) -> Flow:
    """A ramp between 0 and 1."""
    slope, offset = float(call.attribute("alpha", 0.2)), float(call.attribute("beta", 0.5))
    if abs(slope - 1 / 6) < 1e-6 and offset == 0.5:
        return call.each(nn.Hardsigmoid())
    return call.each(nn.Sequential(Affine(slope, offset), nn.Hardtanh(0.0, 1.0)))


def softmax(kind: type[nn.Softmax | nn.LogSoftmax]) -> Handler:
    """Return the handler of a softmax; before operator set 13 it flattens first."""

    def handle(call: Call) -> Flow:
        x = call.real(0)
        axis = call.attribute("axis", 1 if call.version < 13 else -1) % x.example.dim()
        call.require(call.version >= 13 or axis == x.example.dim() - 1, "it is over several axes")
        return call.into.call(call.name, kind(dim=axis), x)

    return handle


def power(call: Call) -> Flow:
    """A constant power."""
    exponent = call.number(1)
    return call.each(Square() if exponent == 2 else Curve(torch.pow, exponent))


def module(build: Callable[[Call], nn.Module]) -> Handler:
    """Return the handler of an operator that is one torch module of one value."""
    return lambda call: call.each(build(call))


def _curve(function: Callable[..., Any]) -> Handler:
    return module(lambda call: Curve(function))


POINTWISE: dict[str, Handler] = {
    "Abs": module(lambda call: nn.LeakyReLU(-1.0)),
    "Atan": _curve(torch.atan),
    "Celu": module(lambda call: nn.CELU(float(call.attribute("alpha", 1.0)))),
    "Clip": clip,
    "Cos": _curve(torch.cos),
    "Elu": module(lambda call: nn.ELU(float(call.attribute("alpha", 1.0)))),
    "Erf": _curve(torch.erf),
    "Exp": _curve(torch.exp),
    "Gelu": module(lambda call: nn.GELU(call.attribute("approximate", "none"))),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": module(lambda call: nn.Hardswish()),
    "LeakyRelu": module(lambda call: nn.LeakyReLU(float(call.attribute("alpha", 0.01)))),
    "Log": _curve(torch.log),
    "LogSoftmax": softmax(nn.LogSoftmax),
    "Mish": module(lambda call: nn.Mish()),
    "Neg": module(lambda call: Affine(-1.0)),
    "PRelu": prelu,
    "Pow": power,
    "Reciprocal": _curve(torch.reciprocal),
    "Relu": module(lambda call: nn.ReLU()),
    "Sigmoid": module(lambda call: nn.Sigmoid()),
    "Sin": _curve(torch.sin),
    "Softmax": softmax(nn.Softmax),
    "Softplus": module(lambda call: nn.Softplus()),
    "Softsign": module(lambda call: nn.Softsign()),
    "Sqrt": _curve(torch.sqrt),
    "Tanh": module(lambda call: nn.Tanh()),
}
"""Rows for the table of all operators."""
