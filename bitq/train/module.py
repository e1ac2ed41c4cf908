"""A LightningModule whose one training step is a whole epoch over tensors in memory.

Lightning keeps the shell (loop, checkpoints, callbacks); the inner loop pays nothing for it. Batches are drawn
from a generator seeded by (seed, epoch), so a resumed training sees the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytorch_lightning as pl
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor, nn

from bitq.core.errors import TrainingError
from bitq.quant.quantizer import Quantizer
from bitq.train.augment import distort
from bitq.train.config import TrainConfig


class EpochModule(pl.LightningModule):
    """Trains a network with Adam.

    Args:
        model: plain module, ``(batch, *shape)`` to ``(batch, k)``.
        x: float inputs ``(n, *shape)``.
        y: targets, one row per input.
        loss: from outputs and targets to a scalar.
        config: epochs, batch, learning rate.
        seed: of the order of the batches.
        quantizer: attached to the optimizer when there is one.
        teacher: float network in evaluation mode to learn from, where ``config.distill`` asks for one.
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],
        config: TrainConfig,
        seed: int,
        quantizer: Quantizer | None,
        teacher: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.config = config
        self.seed = seed
        self.task_loss = loss
        self.train_loss = math.nan
        self._x, self._y = x, y
        self._quantizer = quantizer
        # In a tuple, so that Lightning does not take the teacher for a part of this module.
        self._teacher = (teacher,) if teacher is not None and config.distill else ()

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch; a last batch of a single row is dropped (batch norm needs two)."""
        full, rest = divmod(len(self._y), self.config.batch)
        return full + (rest > 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over all parameters, one fused kernel per step, with the quantizer on its post-step hook."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.config.lr, fused=True)
        if self._quantizer is not None:
            self._quantizer.attach(optimizer, self.steps_per_epoch * self.config.epochs)
        return optimizer

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        """Run one epoch.

        Raises:
            TrainingError: the loss is not finite.
        """
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        self.model.train()
        order = self.generator(self.seed)
        rows = self.order(order)
        total = 0.0
        for step in range(self.steps_per_epoch):
            index = rows[step * self.config.batch : (step + 1) * self.config.batch]
            self._set_rate(optimizer, (self.current_epoch + step / self.steps_per_epoch) / self.config.epochs)
            x, y = self.rows(index)
            if self.config.augment:
                x = distort(x, self.config.augment, order)
            loss = self.loss(self.model(x), x, y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item()
        self.train_loss = total / self.steps_per_epoch
        if not math.isfinite(self.train_loss):
            raise TrainingError(
                f"the loss is not finite in epoch {self.current_epoch + 1}: the training diverged; lower train.lr "
                f"(now {self.config.lr:g}) or quant.strength."
            )

    def generator(self, seed: int) -> torch.Generator:
        """Return what the present epoch of a training with a seed draws its random numbers from."""
        return torch.Generator().manual_seed(seed * 1_000_003 + self.current_epoch)

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the rows of an epoch in the order of the steps, ``(n,)``."""
        return torch.randperm(len(self._y), generator=generator)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of a batch of rows."""
        return self._x.index_select(0, index), self._y.index_select(0, index)

    def loss(self, scores: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of the task, mixed with the teacher's softened scores where there is a teacher.

        ``(1 − α) · loss(y) + α · T² · KL(teacher/T ‖ student/T)`` (Hinton et al., arXiv:1503.02531, section 2).
        """
        loss = self.task_loss(scores, y)
        for teacher in self._teacher:
            soft = self.config.temperature
            with torch.no_grad():
                wanted = F.log_softmax(teacher(x) / soft, dim=1)
            found = F.log_softmax(scores / soft, dim=1)
            apart = F.kl_div(found, wanted, log_target=True, reduction="batchmean") * soft**2
            loss = torch.lerp(loss, apart, self.config.distill)
        return loss

    def train_dataloader(self) -> list[Tensor]:
        """One item: the signal to run an epoch."""
        return [torch.zeros(1)]

    def _set_rate(self, optimizer: torch.optim.Optimizer, progress: float) -> None:
        if self.config.schedule == "constant":
            return
        start = self.config.hold if self.config.schedule == "hold" else 0.0
        way = max(0.0, progress - start) / (1.0 - start)
        for group in optimizer.param_groups:
            group["lr"] = self.config.lr * (1 + math.cos(math.pi * way)) / 2
