"""Several seeds of one network trained in one go: their weights side by side in the layers of one wide network.

A tiny network's step costs what its calls cost, not what it computes; so R of them cost little more than one. Dense
and recurrent layers multiply in batches, convolutions have R groups, batch norms R times the channels. A `Quantizer`
takes the wide network like any other, each replica being a block of rows with its own scale and its own strength.
Every replica sees the batches that its seed would give it alone; results differ from lone trainings by float
rounding, which a sign may amplify: equal in distribution only, and the same for the same seeds in the same order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor, nn

from bitq.core.errors import TrainingError
from bitq.data.dataset import Dataset, Split
from bitq.quant.config import MethodConfig
from bitq.quant.matrix import QuantizedWeight
from bitq.quant.policy import Policy
from bitq.quant.quantizer import QuantizedModel, Quantizer
from bitq.train.config import TrainConfig
from bitq.train.curve import Curve, Epoch
from bitq.train.fit import Fitted, calibration_rows, runs_on_channels_last, trainer
from bitq.train.inference import outputs, reestimate_batch_norm, to_float
from bitq.train.metrics import METRICS
from bitq.train.module import EpochModule
from bitq.train.side_by_side import stack, unstack
from bitq.train.tasks import answers

MOST_MULTIPLICATIONS = 16_000_000
"""Of a lone network's step; above it, what is computed costs more than the calls, and processes do as well.

The LeNet-class network, 11 million at 128 images a step, is the largest that was measured (docs/search.md).
"""

_SCALES = ("tensor", "gate", "channel", "none")


def pays(model: nn.Module, data: Dataset, config: TrainConfig, method: MethodConfig | None) -> bool:
    """Return whether seeds of a training should run in one: they can, and a step is so small that it pays.

    Neither closed loops, which look at one network, nor teachers, distortions and rounding by reconstruction can; and
    the wide network must answer as the lone ones do, which is tried out on two rows.
    """
    if data.task != "classification" or config.augment or config.distill or not config.epochs:
        return False
    if method is not None:
        closed = method.schedule in ("paced", "learned") or method.rounding == "adaround" or bool(method.bits)
        if closed or method.scale not in _SCALES or method.forward == "dorefa":
            return False
    return _multiplications(model, data) * config.batch <= MOST_MULTIPLICATIONS and _alike(model, data)


def fit_stacked(
    models: Sequence[nn.Module],
    data: Dataset,
    config: TrainConfig,
    seeds: Sequence[int],
    *,
    policy: Policy | None = None,
    method: MethodConfig | None = None,
    strengths: Sequence[float] | None = None,
    on_test: bool = True,
    on_epoch: Epoch | None = None,
) -> list[Fitted]:
    """Train one network per seed, all at once; see `bitq.train.fit.fit` for what is alike.

    Args:
        models: networks with fresh weights, one per seed, for which `pays`.
        data: a classification.
        config: how to train.
        seeds: of the batch orders.
        policy: which parameter gets which codebook; None trains in float.
        method: how weights become integers.
        strengths: λ of each network; None takes the method's for all.
        on_test: whether to predict the test split.
        on_epoch: called with (epochs done, metrics) after each; means over the networks.

    Raises:
        TrainingError: the loss or a weight of one of them stopped being finite.
    """
    wide = stack(models)
    together = _Together(wide, len(models), data.input.shape[0])
    x, y = to_float(data.train.x, data.input), torch.from_numpy(data.train.y)
    if runs_on_channels_last(together, x):  # the weights decide for the inputs
        wide.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's overload lacks it
    quantizer = None
    if policy and method is not None:
        each = [method.strength] * len(models) if strengths is None else list(strengths)
        quantizer = Quantizer(wide, policy, replace(method, strength=max(each)), each)
    module = _Module(together, x, y, _loss(len(models), torch.tensor(data.class_weights)), config, seeds, quantizer)
    curve = _Curve(data, x, config, quantizer, on_epoch, len(models))
    trainer(config, curve).fit(module)
    broken = [name for name, values in wide.state_dict().items() if not bool(torch.isfinite(values).all())]
    if broken:
        raise TrainingError(f"{broken[0]} holds values that are not finite: a training diverged; lower train.lr.")

    def settle() -> None:
        rows = calibration_rows(x, method)
        if rows is not None:
            reestimate_batch_norm(together, rows)
        unstack(wide, models)

    settle()
    before = [answers(model, data.test.x, data) if on_test else None for model in models]
    histograms = [quantizer.normalized(i) if quantizer else {} for i in range(len(models))]
    weights = quantizer.finish().weights if quantizer else {}
    settle()
    found: list[Fitted] = []
    for i, model in enumerate(models):
        evolution = curve.close(i)
        after = answers(model, data.test.x, data) if on_test else None
        own = {name: _part(weight, i, len(models)) for name, weight in weights.items()}
        found.append(
            Fitted(QuantizedModel(model, own), curve.histories[i], before[i], histograms[i], after, evolution)
        )
    return found


class _Together(nn.Module):
    """The wide network, for inputs ``(batch, R · channels, …)``, or ``(batch, channels, …)`` for every replica."""

    def __init__(self, wide: nn.Module, replicas: int, channels: int) -> None:
        super().__init__()
        self.wide, self.replicas, self._channels = wide, replicas, channels

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == self._channels:
            x = x.repeat(1, self.replicas, *[1] * (x.dim() - 2))
        return self.wide(x)

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(x)


class _Module(EpochModule):
    """An epoch in which every replica has its own order of the rows."""

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],
        config: TrainConfig,
        seeds: Sequence[int],
        quantizer: Quantizer | None,
    ) -> None:
        super().__init__(model, x, y, loss, config, seeds[0], quantizer)
        self._seeds = list(seeds)

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the rows of every replica, ``(n, R)``."""
        del generator
        orders = [torch.randperm(len(self._y), generator=self.generator(seed)) for seed in self._seeds]
        return torch.stack(orders, dim=1)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs ``(batch, R · channels, …)`` and targets ``(batch, R)``."""
        batch, count = index.shape
        x, y = super().rows(index.flatten())
        return x.reshape(batch, -1, *x.shape[2:]), y.reshape(batch, count)


class _Curve(Curve):
    """A log per replica; ``train/loss`` is the mean of all."""

    def scores(self, model: nn.Module, rows: Split) -> list[float]:
        """Return the metric of every replica."""
        count = len(self.histories)
        classes = outputs(
            model, rows.x, self._data.input, lambda y, real: y.unflatten(1, (count, -1)).argmax(dim=2)
        ).numpy()
        return [METRICS[self._data.metric](rows.y, classes[:, i]) for i in range(count)]


def _loss(replicas: int, class_weights: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the sum of the replicas' weighted cross-entropies, so that each has the gradient that it has alone."""

    def loss(scores: Tensor, y: Tensor) -> Tensor:
        each = F.cross_entropy(scores.reshape(y.numel(), -1), y.flatten(), reduction="none")
        weights = class_weights[y]
        return torch.dot(each, (weights / weights.sum(dim=0)).flatten())

    return loss


def _part(weight: QuantizedWeight, index: int, replicas: int) -> QuantizedWeight:
    """Return one replica's codes and scale; one number where all rows have the same."""
    codes = np.ascontiguousarray(np.array_split(weight.codes, replicas)[index])
    scale = np.array_split(weight.scale, replicas)[index] if len(weight.scale) > 1 else weight.scale
    return QuantizedWeight(codes, scale[:1] if (scale == scale[0]).all() else scale, weight.book)


def _multiplications(model: nn.Module, data: Dataset) -> int:
    """Return how often a network's weights are multiplied with something for one row."""
    counted = 0

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal counted
        if isinstance(layer, nn.GRU):
            places = inputs[0].shape[1]
        else:
            places = output[0, 0].numel() if isinstance(layer, nn.Conv1d | nn.Conv2d) else 1
        counted += places * sum(p.numel() for p in layer.parameters(recurse=False) if p.dim() > 1)

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    with torch.no_grad():
        model.eval()(torch.zeros(1, *data.input.shape))
    for hook in hooks:
        hook.remove()
    return counted


@torch.no_grad()
def _alike(model: nn.Module, data: Dataset) -> bool:
    """Return whether two replicas, one with other weights, answer in the wide network as they do alone."""
    rows = to_float(data.train.x[:2], data.input)
    models = [copy.deepcopy(model).eval(), copy.deepcopy(model).eval()]
    for parameter in models[1].parameters():
        parameter.mul_(-0.5)
    try:
        wide = stack(models).eval()
        found = _Together(wide, 2, data.input.shape[0])(rows)
        alone = torch.cat([one(rows) for one in models], dim=1)
    except (TypeError, RuntimeError, ValueError, AttributeError):
        return False  # a layer that cannot be widened, or a forward pass that knows its shapes
    return found.shape == alone.shape and torch.allclose(found, alone, atol=1e-4, rtol=1e-4)
