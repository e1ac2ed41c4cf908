"""Functions and tensor methods in a forward pass, each turned into the module that means the same.

After `as_modules` a traced graph consists of module calls alone, so `bitq.lowering.modules` alone says how
something becomes integers: ``F.max_pool2d(x, 2)`` is lowered as ``nn.MaxPool2d(2)``. What torch has no module for
has a small one here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor, fx, nn

from bitq.core.errors import DeployError


class Reshape(nn.Module):
    """``x.view(...)``: sizes as written; None stands for one that was computed, as ``x.shape[0]`` is."""

    def __init__(self, *sizes: int | Sequence[int | None] | None) -> None:
        super().__init__()
        first = sizes[0] if sizes else None
        self.sizes: list[int | None] = list(first if isinstance(first, Sequence) else sizes)  # pyright: ignore[reportAttributeAccessIssue]

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` in its new shape."""
        return x.reshape([len(x) if size is None else size for size in self.sizes])


class Plus(nn.Module):
    """``a + b``."""

    def __init__(self, alpha: float = 1) -> None:
        super().__init__()
        if alpha != 1:
            raise ValueError(f"alpha={alpha}; only 1 is covered")

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the sum."""
        return a + b


class Join(nn.Module):
    """``torch.cat(values, dim)``."""

    def __init__(self, dim: int = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *values: Tensor) -> Tensor:
        """Return the values side by side."""
        return torch.cat(values, self.dim)


class Mean(nn.Module):
    """``x.mean(dim)``."""

    def __init__(self, dim: int | Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.dim = [dim] if isinstance(dim, int) else list(dim)
        self.keepdim = keepdim

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over the dimensions."""
        return x.mean(self.dim, keepdim=self.keepdim)


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
    (Mean, (torch.mean, "mean")),
    (_flatten, (torch.flatten, "flatten")),
    (Reshape, (torch.reshape, "view", "reshape")),
    (_dropout, (F.dropout, F.dropout1d, F.dropout2d)),
    (_softmax(nn.Softmax), (F.softmax, torch.softmax, "softmax")),
    (_softmax(nn.LogSoftmax), (F.log_softmax, torch.log_softmax, "log_softmax")),
    (nn.Identity, ("contiguous",)),
)
"""A module, and the functions and methods that mean the same, called with the arguments behind the input."""

CALLS: dict[Any, Callable[..., nn.Module]] = {form: module for module, forms in _FORMS for form in forms}


_JOINS: dict[Any, Callable[..., nn.Module]] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add"), Plus),
    **dict.fromkeys((torch.cat, torch.concat), Join),
}
"""The same for what has several tensors as input."""


def as_modules(traced: fx.GraphModule) -> None:
    """Replace every call that `CALLS` names by its module; what is not named stays.

    Softmax as the last step is dropped: it does not change which score is largest.

    Raises:
        DeployError: a call has arguments that its module does not know; names the call.
    """
    for node in list(traced.graph.nodes):
        if node.op in ("call_function", "call_method") and node.target in CALLS:
            node = _replace(traced, node)
        elif node.op in ("call_function", "call_method") and node.target in _JOINS:
            node = _join(traced, node)
        if node.op == "call_module":
            _show_in_place(traced, node)
    _drop_softmax(traced)
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


def _join(traced: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Replace a call that reads several tensors; a sum with a number stays, and is refused later."""
    module = _JOINS[node.target]
    values, rest = (node.args[:2], node.args[2:]) if module is Plus else (node.args[0], node.args[1:])
    if not isinstance(values, list | tuple) or not all(isinstance(value, fx.Node) for value in values):
        return node
    return _insert(traced, node, module, tuple(values), rest, dict(node.kwargs))


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
        module = build(*map(_static, args), **{k: _static(v) for k, v in kwargs.items()})
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


def _static(value: Any) -> Any:
    """Return an argument without nodes of the graph, which cannot be an attribute of a module."""
    if isinstance(value, fx.Node):
        return None
    return [_static(item) for item in value] if isinstance(value, list | tuple) else value


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


def _drop_softmax(traced: fx.GraphModule) -> None:
    last = next(node for node in reversed(traced.graph.nodes) if node.op == "output").args[0]
    if not isinstance(last, fx.Node) or last.op != "call_module" or len(last.users) != 1:
        return
    module = traced.get_submodule(str(last.target))
    if isinstance(module, nn.Softmax | nn.LogSoftmax) and module.dim in (1, -1):
        source = last.args[0]
        assert isinstance(source, fx.Node)
        last.replace_all_uses_with(source)
        traced.graph.erase_node(last)
