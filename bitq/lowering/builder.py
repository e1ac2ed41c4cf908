"""The growing integer graph during lowering: stored tensors, and what waits for what follows it.

A linear layer stays `Pending` while batch norms and clamps fold into it; it becomes an operation with one rescale
when something else needs its value. What only moves values is `Lazy` until something reads them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import fx

from bitq.core.errors import DeployError, RangeError
from bitq.ir.ops import NO_PADDING, Conv, Dense, Linear, Op, Pair, Requantize
from bitq.ir.types import INT8, INT32, UINT8, DType, Rescale, TensorType, Weights
from bitq.lowering.fixed import Reals, fix, shorten
from bitq.lowering.trace import Seen
from bitq.quant.matrix import QuantizedWeight

INPUT, WINNER = "input", "winner"  # names of the graph's own values
_SCORE_STEPS = 16000  # the largest calibrated score in integer steps, where scores need a rescale at all


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor of the graph.

    Attributes:
        name: of the value.
        type: its integer type; spatial values are channels-last.
        shape: torch's shape without the batch.
        flat_from: for a flattened value, the torch shape that it was flattened from.
    """

    name: str
    type: TensorType
    shape: tuple[int, ...]
    flat_from: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Pending:
    """A linear layer whose output is ``gain · acc + offset`` in real units, not yet rescaled.

    Attributes:
        layer: path of the torch module.
        x: what it reads.
        codes: int8, output channel first, channels-last.
        weight: where the codes came from.
        gain: real value of one accumulator unit, ``(channels,)``.
        offset: real, ``(channels,)``.
        out_shape: of the integer graph, ``(h, w, channels)`` or ``(channels,)``.
        shape: torch's shape without the batch.
        stride, padding, groups, dilation: of a convolution; no stride marks a dense layer.
        low, high: real clamp that follows; a ReLU is ``low = 0``.
    """

    layer: str
    x: Stored
    codes: NDArray[np.int8]
    weight: QuantizedWeight
    gain: Reals
    offset: Reals
    out_shape: tuple[int, ...]
    shape: tuple[int, ...]
    stride: Pair | None = None
    padding: tuple[Pair, Pair] = NO_PADDING
    groups: int = 1
    dilation: Pair = (1, 1)
    low: float = -math.inf
    high: float = math.inf

    @property
    def clamped(self) -> bool:
        """Whether a clamp follows, so that nothing linear can be folded in any more."""
        return self.low > -math.inf or self.high < math.inf

    def affine(self, gain: Reals, offset: Reals) -> Pending:
        """Return the layer followed by ``y · gain + offset`` per channel."""
        return replace(self, gain=self.gain * gain, offset=self.offset * gain + offset)


Value = Stored | Pending


class Lazy(ABC):
    """A value that is not made before it is read."""

    @abstractmethod
    def settle(self, builder: Builder) -> Stored:
        """Add what makes it."""


class Builder:
    """Collects operations; values are looked up by fx node.

    Args:
        weights: codes by parameter name.
        seen: calibrated ranges by node name.
    """

    def __init__(self, weights: dict[str, QuantizedWeight], seen: dict[str, Seen], unsigned: DType = UINT8) -> None:
        self.ops: list[Op] = []
        self._unsigned = unsigned
        self._weights = weights
        self._seen = seen
        self._values: dict[fx.Node, Value | Lazy] = {}

    def set(self, node: fx.Node, value: Value | Lazy) -> None:
        """Remember the value of a node."""
        self._values[node] = value

    def raw(self, node: fx.Node) -> Value | Lazy:
        """Return the value of a node as it is."""
        return self._values[node]

    def value(self, node: fx.Node) -> Value:
        """Return the value of a node, pending or stored."""
        value = self._values[node]
        if isinstance(value, Lazy):
            value = self._values[node] = value.settle(self)
        return value

    def stored(self, node: fx.Node) -> Stored:
        """Return the value of a node as a tensor of the graph, rescaling a pending layer to 8 bits."""
        value = self.value(node)
        if isinstance(value, Pending):
            value = self._commit(value, self._activation_type(node.name, value))
            self._values[node] = value
        return value

    def cast(
        self, layer: str, value: Value, kind: TensorType, low: int | None = None, high: int | None = None
    ) -> Stored:
        """Return a value with number format, scale and zero point of another; its shape stays.

        Args:
            layer: path of the module that asks for it.
            value: what is to be converted.
            kind: the type, whatever its shape.
            low: the least integer allowed, where the type allows more.
            high: the largest integer allowed.
        """
        low, high = kind.dtype.low if low is None else low, kind.dtype.high if high is None else high
        if isinstance(value, Pending):
            made = self._commit(value, replace(kind, shape=value.out_shape))
            self._limit(low, high)
            return made
        alike = (value.type.dtype, value.type.scale, value.type.zero_point) == (
            kind.dtype,
            kind.scale,
            kind.zero_point,
        )
        if alike and (low, high) == (kind.dtype.low, kind.dtype.high):
            return value
        gain: Reals = np.array([value.type.scale / kind.scale])
        fixed = fix(gain, np.zeros(1), 255, kind.dtype, kind.zero_point, low=low, high=high)
        name = self.name(f"{layer}.{value.name}")
        out = replace(kind, shape=value.type.shape)
        self.add(Requantize(name=name, inputs=(value.name,), out=out, layer=layer, rescale=fixed.rescale))
        return replace(value, name=name, type=out)

    def _limit(self, low: int, high: int) -> None:
        """Clamp what the last operation gives to what is allowed; a ReLU in it stays."""
        last = self.ops[-1]
        assert isinstance(last, Linear) and last.rescale is not None  # noqa: PT018
        old = last.rescale
        least = low if old.low == lowest(last.out.dtype) else max(old.low, low)
        self.ops[-1] = replace(last, rescale=replace(old, low=least, high=min(old.high, high)))

    def scores(self, node: fx.Node) -> Stored:
        """Return the value of a node as INT32 scores.

        A head with one gain for all channels hands out its accumulators; others are rescaled to a common step.
        """
        value = self.value(node)
        if isinstance(value, Pending) and not value.clamped:
            positive = _with_positive_gain(value)
            if np.ptp(positive.gain) == 0 and np.abs(positive.offset).max() < 2**30 * positive.gain[0]:
                return self._accumulators(positive)
            scale = self._seen[node.name].magnitude / _SCORE_STEPS
            return self._commit(value, TensorType(value.out_shape, INT32, scale))
        x = self.stored(node)
        if x.type.dtype is INT32:
            return x
        identity = Rescale(np.ones(1, np.int16), 0, 0, 0, INT32.low, INT32.high)
        out = TensorType(x.type.shape, INT32, x.type.scale)
        name = self.name(f"{x.name}_scores")
        self.add(Requantize(name=name, inputs=(x.name,), out=out, rescale=identity))
        return Stored(name, out, x.shape)

    def add(self, op: Op) -> None:
        """Append an operation."""
        self.ops.append(op)

    def name(self, layer: str) -> str:
        """Return a name that no value of the graph has yet, like the layer's path."""
        name = layer.replace(".", "_")
        taken = {INPUT, WINNER, *(op.name for op in self.ops)}
        while name in taken:
            name += "_"
        return name

    def seen(self, node: fx.Node) -> Seen:
        """Return what calibration saw of a node."""
        return self._seen[node.name]

    def weight(self, node: fx.Node, layer: str) -> QuantizedWeight:
        """Return the codes of a layer's weight; a function like ``F.linear`` names its parameter in ``node.meta``.

        Raises:
            DeployError: the policy left it in float.
        """
        return self.codes(node.meta.get("weight", f"{layer}.weight"))

    def codes(self, name: str) -> QuantizedWeight:
        """Return the codes of a parameter.

        Raises:
            DeployError: the policy left it in float.
        """
        if name not in self._weights:
            raise DeployError(
                f"{name} is not quantized; give it a codebook in the policy, for example '{name}: int8'."
            )
        return self._weights[name]

    def activation(self, seen: Seen, shape: tuple[int, ...]) -> TensorType:
        """Return the type that is asked for, else the 8-bit type for a calibrated range.

        That is the unsigned type from 0 where nothing is negative, else INT8.
        """
        if seen.kind is not None:
            return replace(seen.kind, shape=shape)
        if seen.low >= 0:
            return TensorType(shape, self._unsigned, seen.magnitude / self._unsigned.high)
        return TensorType(shape, INT8, seen.magnitude / INT8.high)

    def skewed(self, seen: Seen, shape: tuple[int, ...]) -> TensorType:
        """Return the 8-bit type that spreads a calibrated range, and 0, over all its integers."""
        low, high = min(seen.low, 0.0), max(seen.high, 0.0)
        scale = (high - low or 1.0) / UINT8.high
        return TensorType(shape, UINT8, scale, round(-low / scale))

    def _activation_type(self, name: str, value: Pending) -> TensorType:
        seen = self._seen[name]
        return self.activation(replace(seen, low=max(seen.low, value.low)), value.out_shape)

    def _accumulators(self, value: Pending) -> Stored:
        out = TensorType(value.out_shape, INT32, float(value.gain[0]))
        bias = shorten(np.rint(value.offset / value.gain), np.inf, _probe(value, out).folded(value.x.type))
        return self._append(value, bias, None, out)

    def _commit(self, value: Pending, out: TensorType) -> Stored:
        value = _with_positive_gain(value)
        probe = _probe(value, out)
        magnitude = probe.accumulators(value.x.type)[0].magnitude
        try:
            fixed = fix(
                value.gain / out.scale,
                value.offset / out.scale,
                magnitude,
                out.dtype,
                out.zero_point,
                low=_clamp(value.low, out, lowest(out.dtype)),
                high=_clamp(value.high, out, out.dtype.high),
                folded=probe.folded(value.x.type),
            )
        except ArithmeticError as error:
            raise RangeError(
                f"layer {value.layer}: {error}. Use fewer inputs per output, fewer weight bits or a batch norm there."
            ) from error
        return self._append(value, fixed.bias, fixed.rescale, out)

    def _append(self, value: Pending, bias: NDArray[np.int32], rescale: Rescale | None, out: TensorType) -> Stored:
        name = self.name(value.layer)
        self.add(_operation(value, name, bias, rescale, out))
        return Stored(name, out, value.shape)


def _clamp(real: float, out: TensorType, default: int) -> int:
    """Return the integer of a real clamp, the default where there is none or it lies outside."""
    if math.isinf(real):
        return default
    return int(np.clip(round(real / out.scale) + out.zero_point, lowest(out.dtype), out.dtype.high))


def lowest(dtype: DType) -> int:
    """Return the least integer that lowering uses: symmetric around 0 for INT8."""
    return -127 if dtype is INT8 else dtype.low


def _probe(value: Pending, out: TensorType) -> Dense | Conv:
    """Return a layer without biases and rescale."""
    return _operation(value, "probe", np.zeros(len(value.codes), np.int32), None, out)


def _operation(
    value: Pending, name: str, bias: NDArray[np.int32], rescale: Rescale | None, out: TensorType
) -> Dense | Conv:
    weights = Weights(value.codes, value.weight.book.dtype, value.weight.scale)
    inputs = (value.x.name,)
    if value.stride is None:
        return Dense(
            name=name, inputs=inputs, out=out, layer=value.layer, weights=weights, bias=bias, rescale=rescale
        )
    return Conv(
        name=name,
        inputs=inputs,
        out=out,
        layer=value.layer,
        weights=weights,
        bias=bias,
        rescale=rescale,
        stride=value.stride,
        padding=value.padding,
        groups=value.groups,
        dilation=value.dilation,
    )


def _with_positive_gain(value: Pending) -> Pending:
    """Flip the codes of channels with a negative gain; codebooks are symmetric, so the codes stay in them.

    A gain below 2⁻¹⁴ of the layer's largest is raised to that: the multiplier could not hold it.
    """
    sign = np.where(value.gain < 0, -1, 1)
    codes = (value.codes * sign.reshape(-1, *[1] * (value.codes.ndim - 1))).astype(np.int8)
    size = np.abs(value.gain)
    return replace(value, codes=codes, gain=np.maximum(size, max(size.max() * 2.0**-14, 1e-30)))
