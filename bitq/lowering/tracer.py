"""The tracer: every ``torch.nn`` layer is one call, and sizes are numbers, so that branches on them are taken."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, fx, nn

from bitq.lowering.standins import Whole

_BATCHES = (2, 3)  # a size that is alike in both is one of the network


class Tracer(fx.Tracer):
    """Traces a module along the shapes that real rows have in it.

    Every value is computed beside the trace for two batches. Sizes in which they agree are plain numbers in the
    forward pass; the size of the batch stays a node. Parameters and what is computed of them alone are constants.

    Args:
        row: a real input ``(1, *shape)``; without one all sizes are nodes.
    """

    def __init__(self, row: Tensor | None = None) -> None:
        super().__init__()
        self._batches = [] if row is None else [row.expand(size, *row.shape[1:]).clone() for size in _BATCHES]
        self._runs: list[fx.Interpreter] = []
        self._runs_now = False

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Also take for a layer what only sets arguments of one, as a subclass without a forward pass of its own."""
        derived = type(m).forward.__module__.startswith("torch.nn.modules") and not isinstance(m, nn.Sequential)
        return derived or isinstance(m, Whole) or super().is_leaf_module(m, module_qualified_name)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Ask for what the forward pass needs; arguments with a default keep it."""
        _, *parameters = inspect.signature(root_fn).parameters.values()
        needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        names = needed or [p.name for p in parameters[:1]]
        inputs = [self.create_proxy("placeholder", name, (), {}) for name in names]
        self._runs = [
            fx.Interpreter(self.root, graph=self.graph, garbage_collect_values=False) for _ in self._batches
        ]
        for run, rows in zip(self._runs, self._batches, strict=True):
            run.env.update({proxy.node: rows for proxy in inputs})
        return root_fn, [self.root, *inputs]

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """Return what a module has, parameters too."""
        return attr_val

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Note the call of a layer; those that compute beside the trace are no part of it."""
        return forward(*args, **kwargs) if self._runs_now else super().call_module(m, forward, args, kwargs)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return a value whose sizes are known."""
        self._runs_now = True
        try:
            for run in self._runs:
                run.env[node] = value = run.run_node(node)
                node.meta["shape"] = value.shape if isinstance(value, Tensor) else ()
        except Exception:  # noqa: BLE001  whatever it is, the trace goes on, and says what it meets
            for run in self._runs:
                run.env.pop(node, None)
        finally:
            self._runs_now = False
        return _Sized(node, self)

    def iter(self, obj: Any) -> Iterator[Any]:
        """Return the parts of a value: the tensors of a tuple, or the rows of a tensor."""
        return iter([obj[i] for i in range(len(obj))])

    def value(self, node: fx.Node) -> Any:
        """Return what the rows give at a node, None where it is not known."""
        return self._runs[0].env.get(node) if self._runs else None

    def sizes(self, node: fx.Node) -> tuple[Any, ...] | None:
        """Return the shape of a tensor with a node for the size of the batch, None where it is not known."""
        values = [run.env.get(node) for run in self._runs]
        shapes = [value.shape for value in values if isinstance(value, Tensor)]
        if not shapes or len(shapes) < len(values) or len(shapes[0]) != len(shapes[1]):
            return None
        return tuple(
            size if size == other else self.create_proxy("call_method", "size", (fx.Proxy(node, self), dim), {})
            for dim, (size, other) in enumerate(zip(*shapes, strict=True))
        )

    def length(self, node: fx.Node) -> int | None:
        """Return how many parts a value has, None where it is not known or grows with the batch."""
        values = [run.env.get(node) for run in self._runs]
        lengths = {len(value) if isinstance(value, Tensor | tuple | list) else None for value in values}
        return lengths.pop() if len(lengths) == 1 else None


class _Sized(fx.Proxy):
    tracer: Tracer

    @property
    def shape(self) -> Any:
        sizes = self.tracer.sizes(self.node)
        return super().__getattr__("shape") if sizes is None else sizes

    @property
    def dtype(self) -> Any:
        value = self.tracer.value(self.node)
        return value.dtype if isinstance(value, Tensor) else super().__getattr__("dtype")

    @property
    def ndim(self) -> Any:
        sizes = self.tracer.sizes(self.node)
        return super().__getattr__("ndim") if sizes is None else len(sizes)

    def dim(self) -> Any:
        sizes = self.tracer.sizes(self.node)
        return super().__getattr__("dim")() if sizes is None else len(sizes)

    def size(self, dim: int | None = None) -> Any:
        sizes = self.tracer.sizes(self.node)
        if sizes is None:
            return super().__getattr__("size")(*([] if dim is None else [dim]))
        return sizes if dim is None else sizes[dim]

    def __len__(self) -> int:
        length = self.tracer.length(self.node)
        if length is None:
            raise TypeError("len() of a value whose rows are the batch; write x.shape[0]")
        return length
