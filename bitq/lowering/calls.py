"""Functions and tensor methods in a forward pass, each turned into the module that means the same.

After `as_modules` and `as_views` a traced graph consists of module calls alone, so `bitq.lowering.modules` alone says
how something becomes integers: ``F.max_pool2d(x, 2)`` is lowered as ``nn.MaxPool2d(2)``. What torch has no module for
has a small one in `bitq.lowering.standins`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import fx, nn

from bitq.core.errors import DeployError
from bitq.lowering.standins import Affine, Join, Mean, Minus, Plus, Rearranged, Reshape, Square, Sum, Times


def _max_pool(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    def build(
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> nn.Module:
        return kind(kernel_size, stride or None, padding, dilation, return_indices, ceil_mode)

    return build


def _softmax(kind: type[nn.Module]) -> Callable[..., nn.Module]:
    # The stack level only places a warning of torch.
    def build(dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> nn.Module:
        return kind(dim)

    return build


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


def _power(exponent: float) -> nn.Module:
    if exponent != 2:
        raise ValueError(f"exponent={exponent}; only squares are covered")
    return Square()


def _pad(pad: Sequence[int], mode: str = "constant", value: float | None = None) -> nn.Module:
    if mode != "constant":
        raise ValueError(f"mode='{mode}'; only 'constant' is covered")
    # torch's own modules differ in nothing but the number of dimensions that they ask for.
    kind: Any = nn.ConstantPad1d if len(pad) <= 2 else nn.ConstantPad2d
    module: nn.Module = kind(tuple(pad), value or 0.0)
    return module


def _clamp(min: float | None = None, max: float | None = None) -> nn.Module:  # noqa: A002  torch's names
    if (min, max) == (0, None):
        return nn.ReLU()
    if min is None or max is None:
        raise ValueError(f"min={min}, max={max}; two numbers, or min=0 alone, are covered")
    return nn.Hardtanh(min, max)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    if training:
        raise ValueError("it drops values in inference, too; pass training=self.training")
    return nn.Dropout(p)


_FORMS: tuple[tuple[Callable[..., nn.Module], tuple[Any, ...]], ...] = (
    (nn.ReLU, (F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_")),
    (_max_pool(nn.MaxPool1d), (F.max_pool1d, torch.max_pool1d)),
    (_max_pool(nn.MaxPool2d), (F.max_pool2d, torch.max_pool2d)),
    (nn.AvgPool1d, (F.avg_pool1d,)),
    (nn.AvgPool2d, (F.avg_pool2d,)),
    (nn.AdaptiveAvgPool1d, (F.adaptive_avg_pool1d,)),
    (nn.AdaptiveAvgPool2d, (F.adaptive_avg_pool2d,)),
    (nn.AdaptiveMaxPool1d, (F.adaptive_max_pool1d,)),
    (nn.AdaptiveMaxPool2d, (F.adaptive_max_pool2d,)),
    (nn.ReLU6, (F.relu6,)),
    (nn.Hardtanh, (F.hardtanh,)),
    (_clamp, (torch.clamp, torch.clip, "clamp", "clip", "clamp_", "clip_")),
    (nn.LeakyReLU, (F.leaky_relu,)),
    (nn.Hardsigmoid, (F.hardsigmoid,)),
    (nn.Hardswish, (F.hardswish,)),
    (nn.Sigmoid, (F.sigmoid, torch.sigmoid, "sigmoid")),
    (nn.Tanh, (F.tanh, torch.tanh, "tanh")),
    (nn.SiLU, (F.silu,)),
    (nn.GELU, (F.gelu,)),
    (nn.ELU, (F.elu,)),
    (nn.CELU, (F.celu,)),
    (nn.SELU, (F.selu,)),
    (nn.Mish, (F.mish,)),
    (nn.Softplus, (F.softplus,)),
    (nn.Softsign, (F.softsign,)),
    (nn.LogSigmoid, (F.logsigmoid,)),
    (_pad, (F.pad,)),
    (Mean, (torch.mean, "mean")),
    (Sum, (torch.sum, "sum")),
    (Square, (torch.square, "square")),
    (_power, (torch.pow, operator.pow, "pow")),
    (_flatten, (torch.flatten, "flatten")),
    (Reshape, (torch.reshape, "view", "reshape")),
    (_dropout, (F.dropout, F.dropout1d, F.dropout2d)),
    (_softmax(nn.Softmax), (F.softmax, torch.softmax, "softmax")),
    (_softmax(nn.LogSoftmax), (F.log_softmax, torch.log_softmax, "log_softmax")),
    (nn.Identity, ("contiguous",)),
)
"""A module, and the functions and methods that mean the same, called with the arguments behind the input."""

CALLS: dict[Any, Callable[..., nn.Module]] = {form: module for module, forms in _FORMS for form in forms}


_ARITHMETIC: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "add"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_"), "sub"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_"), "mul"),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, torch.divide, "div", "div_"), "div"),
}
_NEG = (operator.neg, torch.neg, "neg")
_CAT = (torch.cat, torch.concat)

_VIEWS = (
    *(torch.permute, torch.transpose, torch.swapaxes, torch.swapdims, torch.movedim, torch.squeeze, torch.unsqueeze),
    *("permute", "transpose", "swapaxes", "swapdims", "movedim", "squeeze", "unsqueeze", operator.getitem),
    *(torch.narrow, torch.select, torch.flip, "narrow", "select", "flip", "unflatten", F.channel_shuffle),
)
_PARTS = (torch.chunk, torch.split, torch.unbind, "chunk", "split", "unbind")
_SIZES = ("size", "dim", "shape")


def as_modules(traced: fx.GraphModule) -> None:
    """Replace every call that `CALLS` names by its module; what is not named stays.

    Softmax and argmax as the last step are dropped: they do not change which score is largest.

    Raises:
        DeployError: a call has arguments that its module does not know; names the call.
    """
    for node in list(traced.graph.nodes):
        if node.op in ("call_function", "call_method") and node.target in CALLS:
            node = _replace(traced, node)
        elif node.op in ("call_function", "call_method"):
            node = _join(traced, node)
        if node.op == "call_module":
            _show_in_place(traced, node)
    _drop_last(traced)
    traced.graph.eliminate_dead_code()
    traced.recompile()


def path_of(node: fx.Node) -> str:
    """Return the path of the module in whose forward pass a node stands, '' for the outermost."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _replace(traced: fx.GraphModule, node: fx.Node) -> fx.Node:
    kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    source = kwargs.pop("input", None) if not node.args else node.args[0]
    return _insert(traced, node, CALLS[node.target], (source,), node.args[1:], kwargs)


def as_views(traced: fx.GraphModule) -> None:
    """Replace every call that only moves elements; `as_modules` has been there before.

    Raises:
        DeployError: where something is moved to depends on values; names the call.
    """
    traced.graph.eliminate_dead_code()
    for node in list(traced.graph.nodes):
        if node.op not in ("call_function", "call_method") or _is_size(node):
            continue
        first, kwargs = node.args[0] if node.args else None, dict(node.kwargs)
        if node.target in _PARTS:
            for user in list(node.users):
                if user.target is operator.getitem and isinstance(user.args[1], int):
                    build = _rearranged(node.target, user.args[1])
                    _insert(traced, user, build, (first,), node.args[1:], kwargs)
        elif node.target in _VIEWS and isinstance(first, fx.Node) and first.target not in _PARTS:
            _insert(traced, node, _rearranged(node.target, None), (first,), node.args[1:], kwargs)
    traced.graph.eliminate_dead_code()
    traced.recompile()


def _rearranged(target: Any, item: int | None) -> Callable[..., nn.Module]:
    return lambda *args, **kwargs: Rearranged(target, args, kwargs, item)


def _is_size(node: fx.Node) -> bool:
    """Whether a call asks for a size, or computes with sizes."""
    name = node.args[1] if node.target is getattr else node.target
    if name in _SIZES:
        return True
    return bool(node.all_input_nodes) and all(_is_size(source) for source in node.all_input_nodes)


def _join(traced: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Replace a call that reads several tensors, or a tensor and a constant; another stays, and is refused later."""
    if node.target in _CAT:
        values, rest = node.args[0], node.args[1:]
        if not isinstance(values, list | tuple) or not all(isinstance(value, fx.Node) for value in values):
            return node
        return _insert(traced, node, Join, tuple(values), rest, dict(node.kwargs))
    if node.target in _NEG:
        return _insert(traced, node, Affine, (node.args[0],), (-1.0,), {})
    form = _ARITHMETIC.get(node.target)
    if form is None or _is_size(node) or len(node.args) < 2:
        return node
    a, b = (_constant(traced, value) for value in node.args[:2])
    if isinstance(a, fx.Node) and isinstance(b, fx.Node):
        module = {"add": Plus, "sub": Minus, "mul": Times}.get(form)
        return node if module is None else _insert(traced, node, module, (a, b), node.args[2:], dict(node.kwargs))
    x, constant = (a, b) if isinstance(a, fx.Node) else (b, a)
    if not isinstance(x, fx.Node) or node.kwargs or len(node.args) > 2:
        return node
    match form:
        case "add":
            numbers = (1.0, constant)
        case "sub":
            numbers = (1.0, -constant) if x is a else (-1.0, constant)
        case "mul":
            numbers = (constant, 0.0)
        case _ if x is a:
            numbers = (1.0 / constant, 0.0)
        case _:
            return node
    return _insert(traced, node, Affine, (x,), numbers, {})


def _constant(traced: fx.GraphModule, value: Any) -> Any:
    """Return a number or a tensor of the model as itself, and what is computed as its node."""
    if isinstance(value, fx.Node) and value.op == "get_attr":
        return operator.attrgetter(str(value.target))(traced).detach()
    return value


def _insert(
    traced: fx.GraphModule,
    node: fx.Node,
    build: Callable[..., nn.Module],
    inputs: tuple[Any, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> fx.Node:
    path = ".".join(filter(None, (path_of(node), node.name)))
    while _taken(traced, path):
        path += "_"
    try:
        computed = build is Reshape
        module = build(*(_static(v, computed) for v in args), **{k: _static(v, computed) for k, v in kwargs.items()})
    except (TypeError, ValueError) as error:
        raise DeployError(f"'{path}' in the forward pass cannot be lowered: {error}.") from error
    if node.kwargs.get("inplace") or str(getattr(node.target, "__name__", node.target)).endswith("_"):
        setattr(module, "inplace", True)  # noqa: B010  it is no parameter of every module
    traced.add_submodule(path, module.eval())
    with traced.graph.inserting_after(node):
        new = traced.graph.call_module(path, inputs)
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    traced.graph.erase_node(node)
    return new


def _static(value: Any, computed: bool) -> Any:
    """Return an argument without nodes of the graph, which cannot be an attribute of a module: None where allowed."""
    if isinstance(value, fx.Node):
        if not computed:
            raise ValueError(f"its argument '{value}' is computed in the forward pass; write a number")
        return None
    if isinstance(value, slice):
        return slice(*(_static(end, computed) for end in (value.start, value.stop, value.step)))
    if isinstance(value, list | tuple):
        items = [_static(item, computed) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _taken(traced: fx.GraphModule, path: str) -> bool:
    try:
        operator.attrgetter(path)(traced)
    except AttributeError:
        return False
    return True


def _show_in_place(traced: fx.GraphModule, node: fx.Node) -> None:
    """Let those who read the input of an in-place module after it read what it has become."""
    source = node.args[0]
    if getattr(traced.get_submodule(str(node.target)), "inplace", False) is not True or not isinstance(
        source, fx.Node
    ):
        return
    order = {other: number for number, other in enumerate(traced.graph.nodes)}
    for user in list(source.users):
        if order[user] > order[node]:
            user.replace_input_with(source, node)


def _drop_last(traced: fx.GraphModule) -> None:
    output = next(node for node in reversed(traced.graph.nodes) if node.op == "output")
    for last in list(output.all_input_nodes):
        if len(last.users) == 1 and isinstance(first := last.args[0] if last.args else None, fx.Node):
            kept = _is_softmax(traced, last) or _is_arg_max(last)
            if kept:
                last.replace_all_uses_with(first)
                traced.graph.erase_node(last)


def _is_softmax(traced: fx.GraphModule, node: fx.Node) -> bool:
    module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
    return isinstance(module, nn.Softmax | nn.LogSoftmax) and module.dim in (1, -1)


def _is_arg_max(node: fx.Node) -> bool:
    dims = [*node.args[1:], *node.kwargs.values()]
    return node.target in (torch.argmax, "argmax") and bool(dims) and dims[0] in (1, -1)
