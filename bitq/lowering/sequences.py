"""Recurrent modules in a traced network, taken apart into single layers in one direction.

After `as_recurrences` every ``nn.RNN``, ``nn.GRU`` and ``nn.LSTM`` is a chain of `Recurrence` modules, which read
``(batch, channels, time)`` as convolutions do. The transposes that brought a sequence into the module's own order
and back are gone, and a step that is read afterwards (``out[:, -1]``, ``h_n[-1]``) is asked of the last layer alone.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from bitq.core.errors import DeployError
from bitq.lowering.recurrence import Recurrence, Where
from bitq.lowering.standins import Join, Mean, Plus, Reshape

Order = tuple[int, ...]
"""Which axis of ``(batch, channels, time)`` each axis of a tensor is."""

_PLAIN, _BATCH_FIRST, _TIME_FIRST = (0, 1, 2), (0, 2, 1), (2, 0, 1)
_PERMUTES = (torch.permute, "permute")
_SWAPS = (torch.transpose, torch.swapaxes, torch.swapdims, "transpose", "swapaxes", "swapdims")
_SQUEEZES = (torch.squeeze, "squeeze")
_ZEROS = (torch.zeros, torch.zeros_like, "new_zeros")
_SAME = ("requires_grad_", "type_as", "expand", "repeat")
_ALL = slice(None, None, None)
_POINTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Sigmoid, nn.Tanh, nn.SiLU),
    *(nn.GELU, nn.ELU, nn.Softplus, Plus),
)


class Turn(nn.Module):
    """``inner(x.transpose(1, 2))``; the result of a dense layer, which is a sequence, is turned back.

    Args:
        inner: reads ``(batch, time, channels)``; an identity gives the transposed tensor itself.
        path: of the module that it is in the network.
    """

    def __init__(self, inner: nn.Module, path: str) -> None:
        super().__init__()
        self.inner = inner
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        """Return the result."""
        y = self.inner(x.transpose(1, 2))
        return y.transpose(1, 2) if isinstance(self.inner, nn.Linear) else y


@dataclass(frozen=True)
class _View:
    """A tensor of the network: a node of ``(batch, channels, time)`` with its axes in another order.

    ``layer`` is the recurrent layer that gave it, for messages and for those who read one of its steps.
    """

    node: fx.Node
    order: Order
    layer: _Layer | None = None


@dataclass(frozen=True)
class _Layer:
    """One layer of a recurrent module, in all its directions: what it belongs to, its number, and what it reads."""

    owner: nn.RNNBase
    path: str
    number: int
    x: fx.Node


@dataclass(frozen=True)
class _States:
    """The results of a recurrent module, or the second one (``depth`` 1), or within that an LSTM's ``h_n`` (2)."""

    layers: tuple[_Layer, ...]
    whole: fx.Node
    depth: int = 0


def as_recurrences(traced: fx.GraphModule) -> None:
    """Replace every recurrent module of a traced network, and what reads its results.

    Raises:
        DeployError: a module, or a use of its results, is not covered; names the module and what could be used.
    """
    if any(isinstance(module, nn.RNNBase) for module in traced.modules()):
        _Pass(traced).run()
        traced.graph.eliminate_dead_code()
        traced.recompile()


class _Pass:
    def __init__(self, traced: fx.GraphModule) -> None:
        self._traced = traced
        self._views: dict[fx.Node, _View] = {}
        self._states: dict[fx.Node, _States] = {}

    def run(self) -> None:
        """Walk through the network once."""
        for node in list(self._traced.graph.nodes):
            module = self._traced.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, nn.RNNBase):
                self._take_apart(node, module)
            elif states := [self._states[source] for source in node.all_input_nodes if source in self._states]:
                self._read_states(node, states[0])
            elif (order := _permutation(node)) is not None and len(order) == len(_PLAIN):
                self._permute(node, order)
            elif order is not None and order[1] == 0:
                self._flatten(node, order)
            elif any(source in self._views for source in node.all_input_nodes):
                self._read_view(node, module)

    def _insert(self, before: fx.Node, name: str, module: nn.Module, *inputs: fx.Node) -> fx.Node:
        """Insert a call of a new module."""
        while hasattr(self._traced, name):
            name += "_"
        self._traced.add_submodule(name, module.eval())
        with self._traced.graph.inserting_before(before):
            return self._traced.graph.call_module(name, inputs)

    def _permute(self, node: fx.Node, order: Order) -> None:
        source = _first(node)
        view = self._views.get(source, _View(source, _PLAIN))
        self._views[node] = replace(view, order=tuple(view.order[axis] for axis in order))

    def _flatten(self, node: fx.Node, order: Order) -> None:
        """Let ``x.permute(3, 0, 1, 2).flatten(2)`` flatten behind the batch, and turn the sequence afterwards."""
        user = next(iter(node.users), node)
        module = self._traced.get_submodule(str(user.target)) if user.op == "call_module" else None
        sizes = module.sizes if isinstance(module, Reshape) else []
        flat = len(sizes) == 3 and sizes[:2] == [node.meta["shape"][0], None]
        if not flat and not (isinstance(module, nn.Flatten) and module.start_dim == 2 and module.end_dim == -1):
            return
        with self._traced.graph.inserting_before(user):
            first = self._traced.graph.call_function(torch.permute, (_first(node), (0, order[0], *order[2:])))
        made = self._insert(user, user.name, nn.Flatten(2), first)
        self._views[user] = _View(made, (1, 0, 2))

    def _take_apart(self, node: fx.Node, owner: nn.RNNBase) -> None:
        path = str(node.target)
        _require(len(node.args) > 0, path, "pass its input by position")
        _require(all(self._is_zero(value) for value in _rest(node)), path, "its first state must be zero; pass none")
        _require(not owner.proj_size, path, f"proj_size={owner.proj_size} is not covered; use 0")
        x, layers = self._sequence(node, owner), list[_Layer]()
        for number in range(owner.num_layers):
            layers.append(_Layer(owner, path, number, x))
            x = self._outputs(node, layers[-1], None)
        self._states[node] = _States(tuple(layers), x)

    def _is_zero(self, state: Any) -> bool:
        """Whether a first state is zero: none, torch.zeros of any shape and place, or an LSTM's two of them."""
        if isinstance(state, list | tuple):
            return all(self._is_zero(part) for part in state)
        if not isinstance(state, fx.Node):
            return state is None
        same = state.target in _SAME
        if state.op == "call_module":
            same = isinstance(self._traced.get_submodule(str(state.target)), nn.Identity)
        return state.target in _ZEROS or (same and self._is_zero(_first(state)))

    def _sequence(self, node: fx.Node, owner: nn.RNNBase) -> fx.Node:
        """Return what a recurrent module reads as ``(batch, channels, time)``."""
        source = _first(node)
        view = self._views.get(source, _View(source, _PLAIN))
        if view.order == _order(owner):
            return view.node
        _require(
            tuple(_BATCH_FIRST[axis] for axis in view.order) == _order(owner),
            str(node.target),
            "its input must be (batch, time, features) with batch_first=True and (time, batch, features) without",
        )
        return self._insert(node, f"{source.name}_turned", Turn(nn.Identity(), source.name), view.node)

    def _outputs(self, before: fx.Node, layer: _Layer, pick: int | None) -> fx.Node:
        """Insert a layer in all its directions; ``pick`` as in `Where`."""
        both = (False, True) if layer.owner.bidirectional else (False,)
        parts = [self._direction(before, layer, reverse, pick) for reverse in both]
        return parts[0] if len(parts) == 1 else self._insert(before, f"{parts[0].name}_both", Join(1), *parts)

    def _direction(self, before: fx.Node, layer: _Layer, reverse: bool, pick: int | None) -> fx.Node:
        where = Where(layer.path, layer.number, reverse, pick)
        name = f"{layer.path.replace('.', '_')}{where.suffix}"
        return self._insert(before, name, Recurrence(layer.owner, where), layer.x)

    def _read_states(self, node: fx.Node, states: _States) -> None:
        """Replace what reads the results of a recurrent module: its output, ``h_n``, or one of ``h_n``."""
        last = states.layers[-1]
        lstm, index = isinstance(last.owner, nn.LSTM), (_rest(node) or [None])[0]
        is_item = node.op == "call_function" and node.target is operator.getitem
        index = index[0] if isinstance(index, tuple) and all(i in (_ALL, ...) for i in index[1:]) else index
        directions = 2 if last.owner.bidirectional else 1
        if node.target in _SQUEEZES and index in (0, None) and directions * len(states.layers) == 1:
            is_item, index = True, 0
        match states.depth, index:
            case 0, 0 if is_item:
                self._views[node] = _View(states.whole, _order(last.owner), last)
            case 0, 1 if is_item:
                self._states[node] = replace(states, depth=1 if lstm else 2)
            case 1, 0 if is_item:
                self._states[node] = replace(states, depth=2)
            case 2, int() if is_item:
                number, reverse = divmod(int(index) % (directions * len(states.layers)), directions)
                pick = 0 if reverse else -1
                node.replace_all_uses_with(self._direction(node, states.layers[number], bool(reverse), pick))
            case _:
                read = "its cell states are read" if states.depth == 1 else f"{_call(node)} reads its results"
                _require(False, last.path, f"{read}; use its output, a step of it, or h_n by an index")  # noqa: FBT003

    def _read_view(self, node: fx.Node, module: nn.Module | None) -> None:
        """Let what reads a sequence in another order read the node itself."""
        view = self._views.get(_first(node)) or next(v for n, v in self._views.items() if n in node.all_input_nodes)
        sources = [self._views.get(source) for source in node.all_input_nodes]
        alike = all(source is not None and source.order == view.order for source in sources)
        step = _step(node, view.order)
        nodes = [source.node for source in sources if source is not None]
        match module:
            case nn.Dropout() | nn.Identity():
                self._views[node] = view
            case _ if isinstance(module, _POINTWISE) and alike:
                self._views[node] = _View(self._insert(node, node.name, module, *nodes), view.order)
            case Join() if alike:
                joined = self._insert(node, node.name, Join(view.order[module.dim]), *nodes)
                self._views[node] = _View(joined, view.order)
            case Mean() if not module.keepdim:
                mean = type(module)([view.order[dim] for dim in module.dim])
                node.replace_all_uses_with(self._insert(node, node.name, mean, view.node))
            case nn.Linear() if view.order == _BATCH_FIRST:
                dense = self._insert(node, node.name, Turn(module, str(node.target)), view.node)
                dense.meta.update(node.meta)
                self._views[node] = _View(dense, view.order)
            case nn.Flatten() | Reshape() if view.order == _BATCH_FIRST:
                node.replace_all_uses_with(self._insert(node, node.name, Turn(module, str(node.target)), view.node))
            case None if step is not None and view.layer is not None:
                node.replace_all_uses_with(self._outputs(node, view.layer, step))
            case None if step is not None:
                with self._traced.graph.inserting_before(node):
                    taken = self._traced.graph.call_function(operator.getitem, (view.node, (_ALL, _ALL, step)))
                node.replace_all_uses_with(taken)
            case _:
                for source in node.all_input_nodes:
                    if (read := self._views.get(source)) is not None:
                        kept = node.op == "output" and read.order == _BATCH_FIRST  # as its integers lie
                        node.replace_input_with(source, read.node if kept else self._in_order(node, read))

    def _in_order(self, before: fx.Node, view: _View) -> fx.Node:
        """Return a tensor as the network has it."""
        if view.order == _PLAIN:
            return view.node
        with self._traced.graph.inserting_before(before):
            return self._traced.graph.call_function(torch.permute, (view.node, view.order))


def _order(owner: nn.RNNBase) -> Order:
    return _BATCH_FIRST if owner.batch_first else _TIME_FIRST


def _first(node: fx.Node) -> fx.Node:
    """Return the first input of a call; a node without inputs stands for itself."""
    source = node.args[0] if node.args else node
    return source if isinstance(source, fx.Node) else node


def _rest(node: fx.Node) -> list[Any]:
    """Return the arguments behind the first one."""
    return [*node.args[1:], *node.kwargs.values()]


def _permutation(node: fx.Node) -> Order | None:
    """Return the order that a call gives the axes of a tensor, None where it is no such call."""
    rest, rank = _rest(node), len(node.meta.get("shape", _PLAIN))
    if node.target in _PERMUTES:
        axes = rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple) else rest
        return tuple(int(axis) % rank for axis in axes)
    if node.target in _SWAPS:
        order = list(range(rank))
        first, second = (int(axis) % rank for axis in rest)
        order[first], order[second] = order[second], order[first]
        return tuple(order)
    return None


def _step(node: fx.Node, order: Order) -> int | None:
    """Return the step that a call takes from a sequence: ``out[:, -1]``, ``out[:, -1, :]``, ``out.select(1, -1)``."""
    if node.target in (torch.select, "select"):
        axis, step = _rest(node)
        return step if order[int(axis)] == 2 else None
    if node.target is not operator.getitem:
        return None
    index: tuple[Any, ...] = _rest(node)[0] if isinstance(_rest(node)[0], tuple) else (_rest(node)[0],)
    if ... in index:
        at = index.index(...)
        index = (*index[:at], *[_ALL] * (4 - len(index)), *index[at + 1 :])
    index = (*index, *[_ALL] * (3 - len(index)))
    steps = [(axis, value) for axis, value in zip(order, index, strict=True) if value != _ALL]
    return steps[0][1] if len(steps) == 1 and steps[0][0] == 2 and isinstance(steps[0][1], int) else None


def _call(node: fx.Node) -> str:
    return f"'{getattr(node.target, '__name__', node.target)}'"


def _require(holds: bool, layer: str, what: str) -> None:
    if not holds:
        raise DeployError(f"layer '{layer}' cannot be lowered: {what}.")
