"""The log of a training: an entry per epoch, cheap enough to be always on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.data.dataset import Dataset, Split
from bitq.quant.quantizer import Quantizer
from bitq.train.config import TrainConfig
from bitq.train.inference import norms_of, reestimate_batch_norm
from bitq.train.metrics import METRICS
from bitq.train.module import EpochModule
from bitq.train.tasks import answers

EpochLog = dict[str, float]
Epoch = Callable[[int, EpochLog], None]

_LOOKS = 10  # how often per training the roads to the rounded network are compared
_SHARE = 0.02  # of the training's computation, for all looks together
_STEP_COST = 3  # forward passes that a training step is worth
_PASSES = 4  # over the rows of a look: three evaluations and a re-estimation


class Curve(pl.Callback):
    """Keeps the log of each epoch and passes it on.

    Each entry holds ``train/loss``, ``val/<metric>`` of what the network computes with, and of the quantizer what
    `bitq.quant.quantizer.Quantizer.measure` gives. Up to ten entries, evenly spread, also tell three roads apart on
    some validation rows: ``val/soft`` with the real weights, ``val/rounded`` with all weights rounded,
    ``val/reestimated`` with batch-norm statistics re-estimated after that.

    Attributes:
        history: the entries.
    """

    def __init__(
        self, data: Dataset, x: Tensor, config: TrainConfig, quantizer: Quantizer | None, on_epoch: Epoch | None
    ) -> None:
        self.history: list[EpochLog] = []
        self._data = data
        self._x = x
        self._rows = sample(data.val, config.eval_rows)
        self._quantizer = quantizer
        self._on_epoch = on_epoch
        looks = min(_LOOKS, config.epochs)
        rows = int(_SHARE * _STEP_COST * len(x) * config.epochs / (_PASSES * max(1, looks)))
        self._look_rows = sample(data.val, min(config.eval_rows, max(100, rows)))
        self._looks = {round(config.epochs * (look + 1) / looks) for look in range(looks)}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add an entry."""
        assert isinstance(pl_module, EpochModule)
        log = {"train/loss": pl_module.train_loss}
        log[f"val/{self._data.metric}"] = self._score(pl_module.model, self._rows)
        if self._quantizer is not None:
            log |= self._quantizer.measure()
            if len(self.history) + 1 in self._looks:
                log |= self._roads(pl_module.model, self._quantizer)
        self.history.append(log)
        if self._on_epoch is not None:
            self._on_epoch(len(self.history), log)

    def close(self) -> dict[str, NDArray[np.int64]]:
        """Add what only the end tells, ``weights/<name>/settled``: the share of codes that have not changed since.

        Returns:
            Histograms of the weights over the largest codeword per quantized matrix, ``(epochs, bins)``.
        """
        if self._quantizer is None:
            return {}
        for name, shares in self._quantizer.settled().items():
            for log, share in zip(self.history, shares, strict=True):
                log[f"weights/{name}/settled"] = share
        return self._quantizer.evolution()

    def _roads(self, model: nn.Module, quantizer: Quantizer) -> EpochLog:
        with quantizer.view(rounded=False):
            log = {"val/soft": self._score(model, self._look_rows)}
        with quantizer.view(rounded=True):
            log["val/rounded"] = log["val/reestimated"] = self._score(model, self._look_rows)
            kept = [{name: b.clone() for name, b in norm.named_buffers()} for norm in norms_of(model)]
            if kept:
                reestimate_batch_norm(model, self._x[: max(2, len(self._look_rows))])
                log["val/reestimated"] = self._score(model, self._look_rows)
                for norm, buffers in zip(norms_of(model), kept, strict=True):
                    for name, values in buffers.items():
                        norm.get_buffer(name).copy_(values)
        return log

    @torch.no_grad()
    def _score(self, model: nn.Module, rows: Split) -> float:
        return METRICS[self._data.metric](rows.y, answers(model, rows.x, self._data))


def sample(split: Split, rows: int) -> Split:
    """Return evenly spaced rows, the same for every seed and epoch."""
    if rows >= len(split):
        return split
    return split.take(np.linspace(0, len(split) - 1, rows).astype(np.int64))
