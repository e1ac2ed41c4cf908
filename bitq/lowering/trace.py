"""The torch side of lowering: the module as a graph of calls, and the range of every value on real inputs."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from bitq.core.errors import DeployError
from bitq.ir.types import TensorType
from bitq.lowering.calls import as_modules, as_views, drop_last
from bitq.lowering.sequences import as_recurrences
from bitq.lowering.tracer import Tracer

_NOT_THEIRS = tuple(str(folder) for folder in (Path(torch.__file__).parent, Path(__file__).parent))


@dataclass(frozen=True)
class Seen:
    """What calibration saw of one value: its smallest and largest element and its shape without the batch.

    ``kind`` is the number format that it is to have, where the model says so.
    """

    low: float
    high: float
    shape: tuple[int, ...]
    kind: TensorType | None = None

    @property
    def magnitude(self) -> float:
        """Largest absolute element; 1 where all are 0, as behind a dead layer."""
        return max(-self.low, self.high) or 1.0


def trace(model: nn.Module, rows: Tensor | None = None, *, classify: bool = True) -> fx.GraphModule:
    """Trace a module with every ``torch.nn`` layer as one call, and functions as the layers that they stand for.

    Args:
        model: any module of one input.
        rows: real inputs ``(n, *shape)``, whose sizes the forward pass sees, and on which both have to give the same.
        classify: whether the largest score alone matters, so that a softmax at the end is nothing.

    Raises:
        DeployError: the forward pass depends on values and cannot be traced, and says where; or call by call it
            gives something else.
    """
    rows = None if rows is None or not len(rows) else _alike(rows, model)
    try:
        with torch.no_grad():
            graph = Tracer(None if rows is None else rows[:1]).trace(model.eval())
        traced = fx.GraphModule(model, graph)
    except Exception as error:
        raise DeployError(
            f"{type(model).__name__} cannot be traced{_place(error)}: {error}. Its forward pass may call layers and "
            "tensor functions, but not branch or assert on values or the number of rows, or set part of a tensor."
        ) from error
    inputs = [node.name for node in traced.graph.nodes if node.op == "placeholder" and node.users]
    if len(inputs) != 1:
        raise DeployError(f"{type(model).__name__} reads {len(inputs)} inputs ({', '.join(inputs)}); one is covered.")
    as_modules(traced)
    if rows is not None:
        _hold(model, traced, rows)
    drop_last(traced, classify=classify)
    as_recurrences(traced)
    as_views(traced)
    return traced


def _alike(rows: Tensor, model: nn.Module) -> Tensor:
    """Return rows in the precision, and on the device, of a model."""
    return rows.to(next(model.parameters(), rows))


def _place(error: Exception) -> str:
    """Return where in somebody's own code an error comes from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_NOT_THEIRS)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


@torch.no_grad()
def _hold(model: nn.Module, traced: fx.GraphModule, rows: Tensor) -> None:
    """Refuse a network whose calls, one after the other, do not give what it gives.

    Raises:
        DeployError: they do not.
    """
    try:
        both = zip(*(_tensors(network(rows.clone())) for network in (model, traced)), strict=True)
        alike = all(torch.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True) for a, b in both)
    except (RuntimeError, IndexError, ValueError):
        return  # what is not covered is refused by its name, and `observe` says what cannot be run
    if not alike:
        raise DeployError(
            f"{type(model).__name__} gives something else when its calls are taken one by one: it changes a value in "
            "place that it reads by another name, too. Write y = y + 1 for y += 1, and torch.relu(y) for y.relu_()."
        )


def _tensors(result: Any) -> list[Tensor]:
    """Return every tensor in what a network gives."""
    result = vars(result) if is_dataclass(result) else result
    values = result.values() if isinstance(result, dict) else result
    if isinstance(values, Tensor):
        return [values]
    return [tensor for value in values for tensor in _tensors(value)] if isinstance(values, Iterable) else []


@torch.no_grad()
def observe(traced: fx.GraphModule, inputs: Tensor) -> dict[str, Seen]:
    """Run real inputs through a traced module and note the range of every value.

    Args:
        traced: from `trace`.
        inputs: float ``(n, *shape)``.

    Returns:
        What was seen, by the name of the node.

    Raises:
        DeployError: there are no inputs, or a value is not finite; names the layer.
    """
    if len(inputs) == 0:
        raise DeployError("calibration needs real inputs; got none.")
    observer = _Observer(traced)
    for part in _alike(inputs, traced).split(512):
        observer.run(part)
        for node in traced.graph.nodes:
            seen = observer.seen.get(node.name)
            if seen is not None and not math.isfinite(seen.high - seen.low):
                raise DeployError(f"'{node.target}' gives values that are not finite: the training diverged.")
    return observer.seen


class _Observer(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.extra_traceback = False
        self.seen: dict[str, Seen] = {}

    def run_node(self, n: fx.Node) -> Any:
        try:
            result = super().run_node(n)
        except (RuntimeError, IndexError) as error:
            raise DeployError(
                f"'{n.target}' in the forward pass cannot be run on rows like those of calibration: "
                f"{str(error).splitlines()[0]}. The batch alone is the first size of a view; "
                "nn.Linear reads (batch, time, features) as it is."
            ) from error
        if isinstance(result, Tensor):
            low, high = float(result.min()), float(result.max())
            if (old := self.seen.get(n.name)) is not None:
                low, high = min(low, old.low), max(high, old.high)
            self.seen[n.name] = Seen(low, high, tuple(result.shape[1:]))
        return result
