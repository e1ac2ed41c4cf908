"""Attaches a quantization method to a model and its optimizer, steers it through training, and rounds at the end.

One mechanism serves every training loop: `Quantizer.attach` hangs on the optimizer's step hooks, so a
LightningModule and a hand-written loop need no change. `Quantizer.finish` leaves plain modules whose weights are
exactly ``code · scale``, and hands over the codes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.core.errors import ConfigError, TrainingError
from bitq.quant.adaround import adaround
from bitq.quant.bits import BitBudget, packed_bytes
from bitq.quant.codebook import CODEBOOKS
from bitq.quant.config import MethodConfig
from bitq.quant.convergence import Watched, measure
from bitq.quant.feedback import FEEDBACKS, Feedback
from bitq.quant.forwards import Moment
from bitq.quant.freezing import freezing
from bitq.quant.matrix import Matrix, QuantizedWeight
from bitq.quant.policy import Policy, resolve
from bitq.quant.regularizers import REGULARIZERS
from bitq.quant.scales import gates_of
from bitq.quant.schedules import SCHEDULES


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
        strengths: where the model holds several networks side by side (`bitq.train.stacked`), the λ of each; every
            matrix then has as many blocks of rows, with a scale of their own.

    Raises:
        ConfigError: the policy does not fit the model.
    """

    def __init__(
        self, model: nn.Module, policy: Policy, method: MethodConfig, strengths: Sequence[float] | None = None
    ) -> None:
        self.model = model
        self.method = method
        replicas = 1 if strengths is None else len(strengths)
        self._matrices = [
            Matrix(name, book, model.get_parameter(name), method, gates_of(model, name), replicas)
            for name, book in resolve(policy, model).items()
        ]
        self._budget = self._shared(steps=1)
        self._watched = [[Watched(matrix, replica) for matrix in self._matrices] for replica in range(replicas)]
        self._relative = {} if strengths is None else _relative(self._matrices, strengths, method.strength)
        self._coarse = [matrix for matrix in self._matrices if matrix.coarse]
        self._regularizer = REGULARIZERS.get(method.regularizer)
        self._feedback: Feedback | None = None
        self._groups: dict[int, dict[str, Any]] = {}
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
        for matrix in self._matrices:
            self._add_scales(matrix)
        self._total = total_steps
        self._budget = self._shared(round(total_steps * self.method.decide))
        if self.method.schedule in FEEDBACKS:
            self._feedback = FEEDBACKS[self.method.schedule](self.method, total_steps)
        self._hooks.append(optimizer.register_step_pre_hook(self._before_step))
        self._hooks.append(optimizer.register_step_post_hook(self._after_step))

    def _add_scales(self, matrix: Matrix) -> None:
        """Have a matrix's scales learned in its group of the optimizer, once it has its codebook."""
        beside = (matrix.learned.parameter if matrix.learned is not None else None, matrix.tuned)
        if matrix.bits is None and self._groups:
            self._groups[id(matrix.parameter)]["params"].extend(scale for scale in beside if scale is not None)

    def _shared(self, steps: int) -> BitBudget | None:
        """Return the budget of the matrices whose bits are learned in so many steps; None if there are none."""
        learned = {matrix.name: matrix.bits for matrix in self._matrices if matrix.bits is not None}
        shapes = [matrix.parameter.shape for matrix in self._matrices if matrix.bits is not None]
        limit = self.method.budget * sum(packed_bytes(shape, CODEBOOKS["int8"]) for shape in shapes)
        return BitBudget(learned, limit, steps) if learned else None

    @torch.no_grad()
    def _decide(self, budget: BitBudget) -> None:
        """Give every matrix whose bits were learned its one codebook."""
        for matrix in self._matrices:
            matrix.hide()
        self._budget = None
        books, settled = budget.decide(), replace(self.method, bits=[])
        for place, matrix in enumerate(self._matrices):
            if matrix.bits is not None:
                gates = gates_of(self.model, matrix.name)
                decided = Matrix(matrix.name, books[matrix.name], matrix.parameter, settled, gates)
                self._matrices[place] = decided
                self._watched[0][place].follow(decided)
                self._add_scales(decided)
        self._coarse = [matrix for matrix in self._matrices if matrix.coarse]

    @property
    def steps(self) -> int:
        """Optimizer steps so far."""
        return self._step

    @property
    def progress(self) -> float:
        """Share of the training that is done, 0..1."""
        return self._step / self._total if self._total else 0.0

    @property
    def strength(self) -> float:
        """The present λ of the regularizer."""
        if self._feedback is not None:
            return self.method.strength * self._feedback.factor
        ramp = SCHEDULES.get(self.method.schedule)
        return self.method.strength * (ramp(self._moment.approach) if ramp else 1.0)

    @property
    def _moment(self) -> Moment:
        return Moment(self.progress, self.method.freeze_start)

    def expect(self, total_steps: int) -> None:
        """Correct the number of steps in the whole training, for a loop that learns it only on its way."""
        self._total = max(total_steps, self._step, 1)

    def _before_step(
        self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Give the optimizer the real weights; where it calls a closure for the gradient, only after that."""
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._hide()
            return None

        def with_shown_weights() -> Any:
            self._show()
            loss = closure()
            self._hide()
            return loss

        return args[:1], {**kwargs, "closure": with_shown_weights}

    @torch.no_grad()
    def _hide(self) -> None:
        for matrix in self._matrices:
            matrix.hide()
        if self._budget is not None:
            self._budget.step()

    @torch.no_grad()
    def _after_step(self, optimizer: Any = None, args: Any = None, kwargs: Any = None) -> None:
        self._step += 1
        if self._budget is not None and self.progress >= self.method.decide:
            self._decide(self._budget)
        self._pull()
        self._freeze()
        self._show()

    @torch.no_grad()
    def _show(self) -> None:
        if self._step >= self.method.warmup * self._total:
            moment = self._moment
            for matrix in self._matrices:
                matrix.show(moment)

    def _pull(self) -> None:
        strength = self.strength if self._regularizer is not None else 0.0
        for matrix in self._matrices:
            if matrix.done or matrix.bits is not None:
                continue
            if matrix.coarse:
                if self._regularizer is not None:
                    matrix.pull(self._regularizer, self._amount(matrix, strength))
                if self.method.clip:
                    matrix.clip()
            matrix.hold()
            matrix.watch()
        if self._feedback is not None and self._coarse:
            self._feedback.observe(self._step, self._moment, self._coarse, self._rate(self._coarse[0]))

    def _amount(self, matrix: Matrix, strength: float) -> float | Tensor:
        amount = strength * self._rate(matrix)
        relative = self._relative.get(matrix.name)
        return min(0.5, amount) if relative is None else (relative * amount).clamp_max_(0.5)

    def _rate(self, matrix: Matrix) -> float:
        return float(self._groups[id(matrix.parameter)]["lr"])

    def _freeze(self) -> None:
        event = freezing(self.method, self._step, self._total)
        if event is None:
            return
        for matrix in self._matrices:
            # 8-bit weights sit near a codeword anyway: they learn on until everything else is fixed.
            if matrix.done or not (matrix.coarse or event.everything):
                continue
            if event.flip_limit is None:
                matrix.freeze(event.tolerance)
            else:
                matrix.freeze_oscillating(event.flip_limit)

    @torch.no_grad()
    def measure(self, replica: int = 0) -> dict[str, float]:
        """Return what an epoch's log needs, and start counting flips anew; see `bitq.quant.convergence.measure`.

        ``weights/strength`` is the present λ, where there is a regularizer, and ``weights/<name>/bits`` the width of
        each matrix, where the method learns it.
        """
        log = measure(self._watched[replica])
        if self.method.bits:
            widths = {m.name: m.bits.bits if m.bits is not None else float(m.book.bits) for m in self._matrices}
            log |= {f"weights/{name}/bits": bits for name, bits in widths.items()}
        if self._regularizer is not None:
            log["weights/strength"] = self.strength
        return log

    def settled(self, replica: int = 0) -> dict[str, list[float]]:
        """Return, per matrix and epoch measured, the share of codes that have not changed after it."""
        return {one.matrix.name: one.settled() for one in self._watched[replica]}

    def evolution(self, replica: int = 0) -> dict[str, NDArray[np.int64]]:
        """Return histograms of the weights over the largest codeword per matrix, ``(epochs measured, BINS)``."""
        return {one.matrix.name: np.stack(one.histograms) for one in self._watched[replica] if one.histograms}

    @contextmanager
    def view(self, *, rounded: bool) -> Generator[None]:
        """Let the network compute with its real weights for a while, or with all of them rounded."""
        seen = [matrix.parameter.data for matrix in self._matrices]
        with torch.no_grad():
            for matrix in self._matrices:
                matrix.parameter.data = matrix.codes() * matrix.scale() if rounded else matrix.data
        try:
            yield
        finally:
            for matrix, data in zip(self._matrices, seen, strict=True):
                matrix.parameter.data = data

    def normalized(self, replica: int = 0) -> dict[str, NDArray[np.float32]]:
        """Return ``w / scale`` of every matrix, flat, for histograms."""
        return {w.matrix.name: w.place().flatten().float().cpu().numpy() for w in self._watched[replica]}

    def finish(self, calibration: Tensor | None = None) -> QuantizedModel:
        """Round every weight, remove all traces from the model, and hand over the codes.

        Args:
            calibration: real inputs ``(n, *shape)``, some hundred training rows; methods with
                ``rounding: adaround`` cannot do without.

        Raises:
            TrainingError: it was called before, or a weight is not finite.
            ConfigError: the method needs calibration rows.
        """
        if self._finished:
            raise TrainingError("the quantizer is finished already; it rounds once.")
        if self._budget is not None:
            self._decide(self._budget)
        for matrix in self._matrices:
            if not bool(torch.isfinite(matrix.data).all()):
                raise TrainingError(f"{matrix.name} holds values that are not finite: the training diverged.")
        if self.method.rounding == "adaround":
            if calibration is None:
                raise ConfigError("rounding 'adaround' reconstructs outputs: call finish(rows) with training inputs.")
            adaround(self.model, [matrix for matrix in self._matrices if not matrix.done], calibration)
        self._finished = True
        for hook in self._hooks:
            hook.remove()
        return QuantizedModel(self.model, {m.name: m.round() for m in self._matrices})


def _relative(matrices: Sequence[Matrix], strengths: Sequence[float], strength: float) -> dict[str, Tensor]:
    """Return each row's λ over the method's own, ``(out, 1, …)``, where they are not all that one."""
    if all(one == strength for one in strengths):
        return {}
    found: dict[str, Tensor] = {}
    for matrix in matrices:
        rows = matrix.data.new_tensor([one / strength for one in strengths])
        rows = rows.repeat_interleave(matrix.data.shape[0] // len(strengths))
        found[matrix.name] = rows.reshape(-1, *[1] * (matrix.data.dim() - 1))
    return found
