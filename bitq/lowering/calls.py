"""Functions and tensor methods in a forward pass, each turned into the module that means the same.

After `as_modules` and `as_views` a traced graph consists of module calls alone, so `bitq.lowering.modules` alone says
how something becomes integers: ``F.max_pool2d(x, 2)`` is lowered as ``nn.MaxPool2d(2)``. What stands for what is a
row in `bitq.lowering.forms`.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from bitq.core.errors import DeployError
from bitq.lowering.forms import ARITHMETIC, CALLS, CAT, COMPUTED, LAYERS, MAX, NEG, PARTS, SIZES, SPREAD, STACK, VIEWS
from bitq.lowering.standins import Affine, Join, Minus, Most, Plus, Rearranged, Times


def as_modules(traced: fx.GraphModule) -> None:
    """Replace every call that `CALLS` names by its module; what is not named stays.

    No module changes its input in place afterwards: who reads it later reads the result.

    Raises:
        DeployError: a call has arguments that its module does not know; names the call.
    """
    for node in list(traced.graph.nodes):
        _by_position(traced, node)
        if node.op in ("call_function", "call_method") and node.target in CALLS:
            node = _insert(traced, node, CALLS[node.target], node.args[:1], node.args[1:], _options(node))
        elif node.op in ("call_function", "call_method"):
            node = _join(traced, node)
        if node.op == "call_module":
            _show_in_place(traced, node)
    for path in {str(node.target) for node in traced.graph.nodes if node.op == "call_module"}:
        module = traced.get_submodule(path)
        if getattr(module, "inplace", False) is True:
            module = copy.copy(module)
            setattr(module, "inplace", False)  # noqa: B010  it is no parameter of every module
            traced.add_submodule(path, module)
    traced.graph.eliminate_dead_code()
    traced.recompile()


def path_of(node: fx.Node) -> str:
    """Return the path of the module in whose forward pass a node stands, '' for the outermost."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _by_position(traced: fx.GraphModule, node: fx.Node) -> None:
    """Pass what a call reads by position, as all that follows expects it."""
    names = ["input", "tensors", "other"]
    if node.op == "call_module":
        names = list(inspect.signature(traced.get_submodule(str(node.target)).forward).parameters)[:1]
    kwargs = dict(node.kwargs)
    node.args = (*node.args, *(kwargs.pop(name) for name in names if name in kwargs))
    node.kwargs = kwargs


def _options(node: fx.Node) -> dict[str, Any]:
    return {name: value for name, value in node.kwargs.items() if name != "inplace"}


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
        if node.target in PARTS:
            for user in list(node.users):
                if user.target is operator.getitem and isinstance(user.args[1], int):
                    build = _rearranged(node.target, user.args[1])
                    _insert(traced, user, build, (first,), node.args[1:], kwargs)
        elif node.target in VIEWS and isinstance(first, fx.Node) and first.target not in PARTS:
            _insert(traced, node, _rearranged(node.target, None), (first,), node.args[1:], kwargs)
    traced.graph.eliminate_dead_code()
    traced.recompile()


def _rearranged(target: Any, item: int | None) -> Callable[..., nn.Module]:
    return lambda *args, **kwargs: Rearranged(target, args, kwargs, item)


def _is_size(node: fx.Node) -> bool:
    """Whether a call asks for a size, or computes with sizes."""
    name = node.args[1] if node.target is getattr else node.target
    if name in SIZES:
        return True
    return bool(node.all_input_nodes) and all(_is_size(source) for source in node.all_input_nodes)


def _join(traced: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Replace a call that reads several tensors, or a tensor and a constant; another stays, and is refused later."""
    if node.target in LAYERS:
        return _layer(traced, node)
    if node.target in SPREAD and all(_is_product(user) for user in node.users):
        return _insert(traced, node, nn.Identity, node.args[:1], (), {})
    if node.target in CAT or node.target in STACK:
        values, rest = node.args[0], node.args[1:]
        if node.target is torch.hstack:
            rest = (1,)
        if node.target in STACK and (*rest, *node.kwargs.values(), 0)[0] == 0:
            return node
        if not isinstance(values, list | tuple) or not all(isinstance(value, fx.Node) for value in values):
            return node
        if node.target not in CAT:
            values = [_unsqueezed(traced, node, value, *rest, **node.kwargs) for value in values]
        return _insert(traced, node, Join, tuple(values), rest, dict(node.kwargs))
    if node.target in MAX:
        for user in list(node.users):
            if user.args[1:] in ((0,), ("values",)):
                _insert(traced, user, Most, (node.args[0],), node.args[1:], dict(node.kwargs))
        return node
    if node.target in NEG:
        return _insert(traced, node, Affine, (node.args[0],), (-1.0,), {})
    form = ARITHMETIC.get(node.target)
    if form is None or _is_size(node) or len(node.args) < 2:
        return node
    a, b = _constant(traced, node.args[0]), _constant(traced, node.args[1])
    if form == "div" and isinstance(b, fx.Node):
        with traced.graph.inserting_before(node):
            inverse = traced.graph.call_function(torch.reciprocal, (b,))
        inverse.meta.update(node.meta)
        form, b = "mul", _insert(traced, inverse, CALLS[torch.reciprocal], (b,), (), {})
    if isinstance(a, fx.Node) and isinstance(b, fx.Node):
        module = {"add": Plus, "sub": Minus, "mul": Times}[form]
        return _insert(traced, node, module, (a, b), node.args[2:], dict(node.kwargs))
    x: Any = a if isinstance(a, fx.Node) else b
    constant: Any = b if x is a else a
    if not isinstance(x, fx.Node) or node.kwargs or len(node.args) > 2:
        return node
    match form:
        case "add":
            numbers = (1.0, constant)
        case "sub":
            numbers = (1.0, -constant) if x is a else (-1.0, constant)
        case "mul":
            numbers = (constant, 0.0)
        case _:
            numbers = (1.0 / constant, 0.0)
    return _insert(traced, node, Affine, (x,), numbers, {})


def _layer(traced: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Replace a layer whose weight is a parameter of the model itself; another stays, and is refused later."""
    weight = node.kwargs.get("weight", node.args[1] if len(node.args) > 1 else None)
    if not isinstance(weight, fx.Node) or weight.target not in dict(traced.named_parameters()):
        return node
    args = tuple(_constant(traced, value) for value in node.args[1:])
    kwargs = {name: _constant(traced, value) for name, value in node.kwargs.items()}
    new = _insert(traced, node, LAYERS[node.target], node.args[:1], args, kwargs)
    new.meta["weight"] = str(weight.target)
    return new


def _is_product(node: fx.Node) -> bool:
    """Whether a call multiplies two tensors, which may be of different sizes."""
    return ARITHMETIC.get(node.target) == "mul" and all(isinstance(value, fx.Node) for value in node.args)


def _unsqueezed(traced: fx.GraphModule, node: fx.Node, value: Any, dim: Any = 0) -> fx.Node:
    with traced.graph.inserting_before(node):
        new = traced.graph.call_function(torch.unsqueeze, (value, dim))
    new.meta.update(node.meta)
    return new


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
    path = written = ".".join(filter(None, (path_of(node), node.name)))
    while _taken(traced, path):
        path += "_"
    try:
        computed = build in COMPUTED
        module = build(*(_static(v, computed) for v in args), **{k: _static(v, computed) for k, v in kwargs.items()})
    except (TypeError, ValueError) as error:
        raise DeployError(f"'{written}' in the forward pass cannot be lowered: {error}.") from error
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


def results(result: Any) -> list[fx.Node]:
    """Return the tensors in what a forward pass returns: in tuples, lists and dicts, named tuples and dataclasses.

    Raises:
        DeployError: there is something else in it.
    """
    if isinstance(result, fx.Node):
        made = isinstance(result.target, type)
        return results([*result.args, *result.kwargs.values()]) if made else [result]
    values = list(result.values()) if isinstance(result, dict) else result
    if not isinstance(values, list | tuple):
        raise DeployError(f"the model returns {type(values).__name__}; tensors are expected, one or several.")
    return [node for value in values for node in results(value)]


def drop_last(traced: fx.GraphModule, *, classify: bool) -> None:
    """Drop what holds several outputs, and of a classifier a softmax or argmax that is the last step.

    They do not change which score is largest.
    """
    output = next(node for node in reversed(traced.graph.nodes) if node.op == "output")
    nodes = results(output.args[0])
    output.args = (nodes[0] if len(nodes) == 1 else nodes,)
    traced.graph.eliminate_dead_code()
    for last in list(output.all_input_nodes) if classify else []:
        if len(last.users) == 1 and isinstance(first := last.args[0] if last.args else None, fx.Node):
            kept = _is_softmax(traced, last) or _is_arg_max(last)
            if kept:
                last.replace_all_uses_with(first)
                traced.graph.erase_node(last)
    traced.recompile()


def _is_softmax(traced: fx.GraphModule, node: fx.Node) -> bool:
    module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
    return isinstance(module, nn.Softmax | nn.LogSoftmax) and module.dim in (1, -1)


def _is_arg_max(node: fx.Node) -> bool:
    dims = [*node.args[1:], *node.kwargs.values()]
    return node.target in (torch.argmax, "argmax") and bool(dims) and dims[0] in (1, -1)
