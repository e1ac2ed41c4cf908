"""Attaches a quantization method to a model and its optimizer, steers it through training, and rounds at the end.

One mechanism serves every training loop: `Quantizer.attach` hangs on the optimizer's step hooks, so a
LightningModule and a hand-written loop need no change. `Quantizer.finish` leaves plain modules whose weights are
exactly ``code · scale``, and hands over the codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bitq.core.errors import ConfigError, TrainingError
from bitq.quant.config import MethodConfig
from bitq.quant.matrix import Matrix, QuantizedWeight
from bitq.quant.policy import Policy, resolve
from bitq.quant.regularizers import REGULARIZERS
from bitq.quant.schedules import SCHEDULES

_FREEZE_EVENTS = 50  # how often per training the progressive freeze looks for weights that have arrived


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """A plain torch model whose weights are ``code · scale``, and the codes by parameter name."""

    model: nn.Module
    weights: dict[str, QuantizedWeight]


class Quantizer:
    """The quantization of one model under one method.

    Args:
        model: a plain module; its parameters keep their identity, so the optimizer may exist before or after.
        policy: parameter-name patterns to codebook names; see `bitq.quant.policy.resolve`.
        method: the composition to use.

    Raises:
        ConfigError: the policy does not fit the model.
    """

    def __init__(self, model: nn.Module, policy: Policy, method: MethodConfig) -> None:
        self.model = model
        self.method = method
        self._matrices = [
            Matrix(name, book, model.get_parameter(name), method) for name, book in resolve(policy, model).items()
        ]
        self._step = 0
        self._total = 0
        self._finished = False
        self._hooks: list[Any] = []
        if method.warmup == 0:
            self._show()

    def attach(self, optimizer: torch.optim.Optimizer, total_steps: int) -> None:
        """Hang the method on an optimizer.

        Args:
            optimizer: the one that updates the model; its learning rates pace the pull.
            total_steps: optimizer steps in the whole training; all of the method's fractions refer to it.

        Raises:
            ConfigError: there are no steps, or a quantized weight is not the optimizer's.
        """
        if total_steps < 1:
            raise ConfigError(f"total_steps: must be at least 1, got {total_steps}.")
        groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        for matrix in self._matrices:
            if id(matrix.parameter) not in groups:
                raise ConfigError(f"the optimizer does not update {matrix.name}, which the policy quantizes.")
        self._groups = groups
        self._total = total_steps
        self._hooks.append(optimizer.register_step_pre_hook(self._before_step))
        self._hooks.append(optimizer.register_step_post_hook(self._after_step))

    @property
    def progress(self) -> float:
        """Share of the training that is done, 0..1."""
        return self._step / self._total if self._total else 0.0

    def _before_step(self, optimizer: Any = None, args: Any = None, kwargs: Any = None) -> None:
        for matrix in self._matrices:
            matrix.hide()

    @torch.no_grad()
    def _after_step(self, optimizer: Any = None, args: Any = None, kwargs: Any = None) -> None:
        self._step += 1
        self._pull()
        self._freeze()
        self._show()

    @torch.no_grad()
    def _show(self) -> None:
        if self._step >= self.method.warmup * self._total:
            for matrix in self._matrices:
                matrix.show()

    def _pull(self) -> None:
        method = self.method
        force = REGULARIZERS.get(method.regularizer)
        ramp = SCHEDULES[method.schedule](self.progress / method.freeze_start if method.freeze_start else 1.0)
        for matrix in self._matrices:
            if matrix.done:
                continue
            if force is not None and matrix.book.spread:
                rate = float(self._groups[id(matrix.parameter)]["lr"])
                matrix.pull(force, min(0.5, method.strength * ramp * rate))
            matrix.hold()

    def _freeze(self) -> None:
        method, total = self.method, self._total
        start, end = method.freeze_start * total, max(method.freeze_start, method.freeze_end) * total
        if method.freeze == "none" or self._step < start:
            return
        if method.freeze == "all" or self._step >= end:
            tolerance = 1.0
        else:
            every = max(1, total // _FREEZE_EVENTS)
            if (self._step - int(start)) % every:
                return
            tolerance = 0.05 + 0.95 * (self._step - start) / (end - start)
        for matrix in self._matrices:
            # 8-bit weights sit near a codeword anyway: they learn on until everything else is fixed.
            if not matrix.done and (matrix.book.spread or tolerance >= 1.0):
                matrix.freeze(tolerance)

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Return what an epoch's log needs, and start counting flips anew.

        Returns:
            For every matrix ``weights/<name>/…``: ``within_1pct`` and ``within_5pct`` (share of weights that close
            to a codeword, in codeword distances), ``msqe`` (in squared distances), ``flips`` (share of codes that
            changed since the last call); and ``weights/flips``, ``weights/within_1pct`` over those below 8 bits.
        """
        log: dict[str, float] = {}
        flips, within, count = 0.0, 0.0, 0
        for matrix in self._matrices:
            u = matrix.data / matrix.scale()
            codes = matrix.book.nearest(u)
            distance = (u - codes).abs().div_(matrix.book.dtype.step)
            changed = (codes != matrix.last_codes).float().mean().item()
            matrix.last_codes = codes
            near = (distance <= 0.01).float().mean().item()
            log[f"weights/{matrix.name}/within_1pct"] = near
            log[f"weights/{matrix.name}/within_5pct"] = (distance <= 0.05).float().mean().item()
            log[f"weights/{matrix.name}/msqe"] = distance.square().mean().item()
            log[f"weights/{matrix.name}/flips"] = changed
            if matrix.book.spread:  # 8-bit codes change all the time, by one step in 255
                flips, within, count = flips + changed * u.numel(), within + near * u.numel(), count + u.numel()
        if count:
            log["weights/flips"], log["weights/within_1pct"] = flips / count, within / count
        return log

    def normalized(self) -> dict[str, NDArray[np.float32]]:
        """Return ``w / scale`` of every matrix, flat, for histograms."""
        return {m.name: (m.data / m.scale()).flatten().float().cpu().numpy() for m in self._matrices}

    def finish(self) -> QuantizedModel:
        """Round every weight, remove all traces from the model, and hand over the codes.

        Raises:
            TrainingError: it was called before, or a weight is not finite.
        """
        if self._finished:
            raise TrainingError("the quantizer is finished already; it rounds once.")
        for matrix in self._matrices:
            if not bool(torch.isfinite(matrix.data).all()):
                raise TrainingError(f"{matrix.name} holds values that are not finite: the training diverged.")
        self._finished = True
        for hook in self._hooks:
            hook.remove()
        return QuantizedModel(self.model, {m.name: m.round() for m in self._matrices})
