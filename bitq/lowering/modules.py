"""How each module type becomes operations: one function per type, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from bitq.core.errors import DeployError
from bitq.ir.ops import Add, AvgPool, Concat, Flatten, MaxPool, Pair, Requantize
from bitq.ir.types import Rescale
from bitq.lowering.builder import Builder, Pending, Stored, Value
from bitq.lowering.calls import Join, Mean, Plus, Reshape
from bitq.lowering.fixed import Reals, fix
from bitq.lowering.heads import MeanSquaredError, mean_squared_error
from bitq.lowering.recurrent import RECURRENT

Lowering = Callable[[Builder, fx.Node, Any], Value]


def linear(builder: Builder, node: fx.Node, module: nn.Linear) -> Value:
    """A dense layer; columns follow the channels-last order of a flattened input."""
    layer, x = str(node.target), builder.stored(_source(node))
    weight = builder.weight(layer)
    _require(len(x.shape) == 1, layer, f"a dense layer reads a vector, got {x.shape}; put nn.Flatten before it")
    codes = weight.codes
    if x.flat_from is not None and len(x.flat_from) > 1:
        codes = np.moveaxis(codes.reshape(len(codes), *x.flat_from), 1, -1).reshape(len(codes), -1)
    out = (module.out_features,)
    gain = np.broadcast_to(weight.scale * x.type.scale, out)
    return Pending(layer, x, np.ascontiguousarray(codes), weight, gain, _bias(module), out, out)


def convolution(builder: Builder, node: fx.Node, module: nn.Conv1d | nn.Conv2d) -> Value:
    """A convolution over one or two dimensions, depthwise and dilated ones included."""
    layer, x = str(node.target), builder.stored(_source(node))
    weight = builder.weight(layer)
    _require(module.padding_mode == "zeros", layer, f"padding_mode='{module.padding_mode}'; only zeros are covered")
    codes = weight.codes if weight.codes.ndim == 4 else weight.codes[:, :, None, :]
    kernel = (codes.shape[2], codes.shape[3])
    dilation = _pair(module.dilation)
    padding = _padding(module, ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1))
    stride = _pair(module.stride)
    shape = builder.seen(node).shape
    gain = np.broadcast_to(weight.scale * x.type.scale, (module.out_channels,))
    return Pending(
        layer,
        x,
        np.ascontiguousarray(np.moveaxis(codes, 1, -1)),
        weight,
        gain,
        _bias(module),
        channels_last(shape),
        shape,
        stride,
        padding,
        module.groups,
        dilation,
    )


def batch_norm(builder: Builder, node: fx.Node, module: nn.BatchNorm1d | nn.BatchNorm2d) -> Value:
    """Batch norm with running statistics, folded into the layer before it."""
    value = builder.value(_source(node))
    folds = isinstance(value, Pending) and not value.relu
    _require(folds, str(node.target), "a batch norm is folded into a convolution or dense layer right before it")
    assert isinstance(value, Pending)
    _require(module.running_var is not None, str(node.target), "a batch norm needs track_running_stats=True")
    mean, variance = _real(module.running_mean), _real(module.running_var)
    gain = 1.0 / np.sqrt(variance + module.eps)
    offset = -mean * gain
    if module.affine:
        gain, offset = gain * _real(module.weight), offset * _real(module.weight) + _real(module.bias)
    return value.affine(gain, offset)


def relu(builder: Builder, node: fx.Node, module: nn.ReLU) -> Value:
    """A clamp at zero, in the rescale of the layer right before it where there is one."""
    value = builder.value(_source(node))
    if isinstance(value, Pending):
        return replace(value, relu=True)
    if value.type.dtype.low >= value.type.zero_point:
        return value
    layer = str(node.target)
    zero = value.type.zero_point
    clamp = Rescale(np.ones(1, np.int16), 0, 0, zero, zero, value.type.dtype.high)
    name = builder.name(layer)
    builder.add(Requantize(name=name, inputs=(value.name,), out=value.type, layer=layer, rescale=clamp))
    return replace(value, name=name)


def max_pool(builder: Builder, node: fx.Node, module: nn.MaxPool1d | nn.MaxPool2d) -> Value:
    """Max pooling."""
    layer, x = str(node.target), builder.stored(_source(node))
    _require(_pair(module.dilation) == (1, 1), layer, f"dilation={module.dilation} is not covered; use 1")
    _require(not module.ceil_mode, layer, "ceil_mode=True is not covered; use False")
    _require(not module.return_indices, layer, "return_indices=True is not covered; use False")
    kernel, stride = _window(module.kernel_size, x), _window(module.stride, x)
    pad = _pair(module.padding) if len(x.shape) == 3 else (0, _pair(module.padding)[1])
    shape = builder.seen(node).shape
    out = replace(x.type, shape=channels_last(shape))
    padding = ((pad[0], pad[0]), (pad[1], pad[1]))
    name = builder.name(layer)
    builder.add(
        MaxPool(name=name, inputs=(x.name,), out=out, layer=layer, kernel=kernel, stride=stride, padding=padding)
    )
    return Stored(name, out, shape)


def average_pool(builder: Builder, node: fx.Node, module: nn.AvgPool1d | nn.AvgPool2d) -> Value:
    """Average pooling without padding."""
    layer, x = str(node.target), builder.stored(_source(node))
    _require(not np.any(module.padding), layer, f"padding={module.padding} is not covered; use 0")
    _require(not module.ceil_mode, layer, "ceil_mode=True is not covered; use False")
    divisor = getattr(module, "divisor_override", None)
    _require(divisor is None, layer, f"divisor_override={divisor} is not covered; leave it out")
    window, stride = _window(module.kernel_size, x), _window(module.stride, x)
    return _average(builder, node, x, window, stride, builder.seen(node).shape)


def global_average(builder: Builder, node: fx.Node, module: nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d) -> Value:
    """Adaptive average pooling to a single element per channel."""
    layer, x = str(node.target), builder.stored(_source(node))
    _require(_pair(module.output_size) == (1, 1), layer, f"output_size={module.output_size} is not covered; use 1")
    kernel = (x.type.shape[0], x.type.shape[1])
    return _average(builder, node, x, kernel, kernel, builder.seen(node).shape)


def flatten(builder: Builder, node: fx.Node, module: nn.Flatten) -> Value:
    """The same integers as a vector; the dense layer behind it reorders its columns."""
    x = builder.stored(_source(node))
    _require(module.start_dim == 1 and module.end_dim == -1, str(node.target), "nn.Flatten() with its defaults only")
    return _vector(builder, node, x)


def reshape(builder: Builder, node: fx.Node, module: Reshape) -> Value:
    """A view of each sample as a vector, which is what nn.Flatten does."""
    x = builder.stored(_source(node))
    whole = builder.seen(node).shape == (x.type.size,)
    _require(whole, str(node.target), f"it gives {builder.seen(node).shape} per sample; use torch.flatten(x, 1)")
    return _vector(builder, node, x)


def mean(builder: Builder, node: fx.Node, module: Mean) -> Value:
    """The mean over all places, channel by channel."""
    layer, x = str(node.target), builder.stored(_source(node))
    rank = len(x.shape) + 1
    dims = sorted(dim % rank for dim in module.dim)
    all_places = rank > 2 and dims == list(range(2, rank))
    _require(all_places, layer, f"dim={module.dim} of an input {x.shape}; only the mean over all places is covered")
    kernel = (x.type.shape[0], x.type.shape[1])
    pooled = _average(builder, node, x, kernel, kernel, (x.shape[0], *[1] * (rank - 2)))
    return pooled if module.keepdim else _vector(builder, node, pooled)


def plus(builder: Builder, node: fx.Node, module: Plus) -> Value:
    """A sum of two values, each with its own scale; a ReLU that follows is in its clamp."""
    layer, (a, b) = str(node.target), _operands(builder, node)
    _require(a.shape == b.shape, layer, f"it adds {a.shape} and {b.shape}; both sides need one shape")
    _require(_order(a) == _order(b), layer, "it adds values that were flattened from different shapes")
    out = builder.activation(builder.seen(_before_relu(node)), a.type.shape)
    ratios = np.array([a.type.scale, b.type.scale]) / out.scale
    shift = int(np.clip(14 - np.floor(np.log2(ratios.max())), 0, 30))
    first, second = (int(m) for m in np.clip(np.rint(ratios * 2.0**shift), 1, 32767))
    rescale = Rescale(np.ones(1, np.int16), 0, shift, out.zero_point, max(out.dtype.low, -127), out.dtype.high)
    name = builder.name(layer)
    builder.add(
        Add(
            name=name,
            inputs=(a.name, b.name),
            out=out,
            layer=layer,
            multipliers=(first, second),
            rescale=rescale,
        )
    )
    return Stored(name, out, a.shape, a.flat_from)


def join(builder: Builder, node: fx.Node, module: Join) -> Value:
    """Values side by side along their channels, brought to one type first."""
    layer, values = str(node.target), _operands(builder, node)
    shape = builder.seen(node).shape
    _require(module.dim in (1, -len(shape)), layer, f"dim={module.dim}; only dim=1, the channels, is covered")
    flat = any(len(_order(value)) > 1 and value.flat_from for value in values)
    _require(not flat, layer, "it joins flattened values; join them before they are flattened")
    kinds = {(value.type.dtype.name, value.type.scale, value.type.zero_point) for value in values}
    out = values[0].type if len(kinds) == 1 else builder.activation(builder.seen(node), ())
    names = [builder.cast(layer, value, out).name for value in values]
    name = builder.name(layer)
    out = replace(out, shape=channels_last(shape))
    builder.add(Concat(name=name, inputs=tuple(names), out=out, layer=layer))
    return Stored(name, out, shape)


def softmax(builder: Builder, node: fx.Node, module: nn.Softmax | nn.LogSoftmax) -> Value:
    """Always refused: as the last step it is gone before this."""
    raise DeployError(
        f"layer '{node.target}' cannot be lowered: a softmax is covered as the last step over dim=1, where it is "
        "dropped because it does not change which score is largest."
    )


def nothing(builder: Builder, node: fx.Node, module: nn.Module) -> Value:
    """A module that does nothing in inference."""
    return builder.value(_source(node))


MODULES: dict[type[nn.Module], Lowering] = {
    nn.Linear: linear,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.ReLU: relu,
    nn.MaxPool1d: max_pool,
    nn.MaxPool2d: max_pool,
    nn.AvgPool1d: average_pool,
    nn.AvgPool2d: average_pool,
    nn.AdaptiveAvgPool1d: global_average,
    nn.AdaptiveAvgPool2d: global_average,
    nn.Flatten: flatten,
    Reshape: reshape,
    Mean: mean,
    Plus: plus,
    **RECURRENT,
    Join: join,
    MeanSquaredError: mean_squared_error,
    nn.Softmax: softmax,
    nn.LogSoftmax: softmax,
    nn.Dropout: nothing,
    nn.Dropout1d: nothing,
    nn.Dropout2d: nothing,
    nn.Identity: nothing,
}


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return torch's ``(c, h, w)`` as ``(h, w, c)``, ``(c, t)`` as ``(1, t, c)`` and ``(f,)`` as it is."""
    match shape:
        case (channels, height, width):
            return (height, width, channels)
        case (channels, time):
            return (1, time, channels)
        case _:
            return shape


def _vector(builder: Builder, node: fx.Node, x: Stored) -> Stored:
    if len(x.shape) == 1:
        return x
    name = builder.name(str(node.target))
    out = replace(x.type, shape=(x.type.size,))
    builder.add(Flatten(name=name, inputs=(x.name,), out=out, layer=str(node.target)))
    return Stored(name, out, (x.type.size,), flat_from=x.shape)


def _average(
    builder: Builder, node: fx.Node, x: Stored, kernel: Pair, stride: Pair, shape: tuple[int, ...]
) -> Stored:
    count = kernel[0] * kernel[1]
    out = builder.activation(builder.seen(node), channels_last(shape))
    reach = count * (x.type.dtype.high - min(x.type.dtype.low, 0))
    gain: Reals = np.array([x.type.scale / count / out.scale])
    fixed = fix(gain, np.zeros(1), reach, out.dtype, out.zero_point, low=out.dtype.low, high=out.dtype.high)
    layer = str(node.target)
    name = builder.name(layer)
    builder.add(
        AvgPool(
            name=name, inputs=(x.name,), out=out, layer=layer, kernel=kernel, stride=stride, rescale=fixed.rescale
        )
    )
    return Stored(name, out, shape)


def _operands(builder: Builder, node: fx.Node) -> list[Stored]:
    return [builder.stored(source) for source in node.args if isinstance(source, fx.Node)]


def _order(value: Stored) -> tuple[int, ...]:
    """Return the shape that decides the order of a value's elements; a vector's order is its own."""
    shape = value.flat_from or value.shape
    return shape if int(np.prod(shape[1:])) > 1 else shape[:1]


def _before_relu(node: fx.Node) -> fx.Node:
    """Return the ReLU that is the only reader of a value, or the value itself."""
    user = next(iter(node.users)) if len(node.users) == 1 else node
    modules = node.graph.owning_module
    if user.op != "call_module" or modules is None:
        return node
    return user if isinstance(modules.get_submodule(str(user.target)), nn.ReLU) else node


def _source(node: fx.Node) -> fx.Node:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source


def _padding(module: nn.Conv1d | nn.Conv2d, reach: Pair) -> tuple[Pair, Pair]:
    if module.padding == "same":
        # torch puts the odd sample at the end.
        before = ((reach[0] - 1) // 2, (reach[1] - 1) // 2)
        return (before[0], reach[0] - 1 - before[0]), (before[1], reach[1] - 1 - before[1])
    if module.padding == "valid":
        return (0, 0), (0, 0)
    sizes: Any = module.padding
    vertical, horizontal = (0, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
    return (vertical, vertical), (horizontal, horizontal)


def _window(size: Any, x: Stored) -> Pair:
    vertical, horizontal = _pair(size)
    return (vertical, horizontal) if len(x.shape) == 3 else (1, horizontal)


def _pair(size: Any) -> Pair:
    if isinstance(size, int):
        return size, size
    values = tuple(size)
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def _bias(module: nn.Linear | nn.Conv1d | nn.Conv2d) -> Reals:
    return np.zeros(len(module.weight)) if module.bias is None else _real(module.bias)


def _real(values: Tensor | None) -> Reals:
    assert values is not None
    return values.detach().cpu().double().numpy()


def _require(holds: bool, layer: str, what: str) -> None:
    if not holds:
        raise DeployError(f"layer '{layer}' cannot be lowered: {what}.")
