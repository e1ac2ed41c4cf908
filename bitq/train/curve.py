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
        histories: the entries; one list per network where several are trained at once (`bitq.train.stacked`).
    """

    def __init__(
        self,
        data: Dataset,
        x: Tensor,
        config: TrainConfig,
        quantizer: Quantizer | None,
        on_epoch: Epoch | None,
        replicas: int = 1,
    ) -> None:
        self.histories: list[list[EpochLog]] = [[] for _ in range(replicas)]
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
        """Add an entry, and pass on the mean over all networks."""
        assert isinstance(pl_module, EpochModule)
        loss = pl_module.train_loss / len(self.histories)
        found = {f"val/{self._data.metric}": self.scores(pl_module.model, self._rows)}
        done = len(self.histories[0]) + 1
        if self._quantizer is not None and done in self._looks:
            found |= self._roads(pl_module.model, self._quantizer)
        for index, history in enumerate(self.histories):
            log = {"train/loss": loss} | {name: values[index] for name, values in found.items()}
            history.append(log | (self._quantizer.measure(index) if self._quantizer is not None else {}))
        if self._on_epoch is not None:
            logs = [history[-1] for history in self.histories]
            self._on_epoch(done, {name: sum(log[name] for log in logs) / len(logs) for name in logs[0]})

    def close(self, replica: int = 0) -> dict[str, NDArray[np.int64]]:
        """Add what only the end tells, ``weights/<name>/settled``: the share of codes that have not changed since.

        Args:
            replica: whose log it is.

        Returns:
            Histograms of the weights over the largest codeword per quantized matrix, ``(epochs, bins)``.
        """
        if self._quantizer is None:
            return {}
        for name, shares in self._quantizer.settled(replica).items():
            for log, share in zip(self.histories[replica], shares, strict=True):
                log[f"weights/{name}/settled"] = share
        return self._quantizer.evolution(replica)

    def _roads(self, model: nn.Module, quantizer: Quantizer) -> dict[str, list[float]]:
        with quantizer.view(rounded=False):
            log = {"val/soft": self.scores(model, self._look_rows)}
        with quantizer.view(rounded=True):
            log["val/rounded"] = log["val/reestimated"] = self.scores(model, self._look_rows)
            kept = [{name: b.clone() for name, b in norm.named_buffers()} for norm in norms_of(model)]
            if kept:
                reestimate_batch_norm(model, self._x[: max(2, len(self._look_rows))])
                log["val/reestimated"] = self.scores(model, self._look_rows)
                for norm, buffers in zip(norms_of(model), kept, strict=True):
                    for name, values in buffers.items():
                        norm.get_buffer(name).copy_(values)
        return log

    @torch.no_grad()
    def scores(self, model: nn.Module, rows: Split) -> list[float]:
        """Return the metric of each network on some rows."""
        return [METRICS[self._data.metric](rows.y, answers(model, rows.x, self._data))]


def sample(split: Split, rows: int) -> Split:
    """Return evenly spaced rows, the same for every seed and epoch."""
    if rows >= len(split):
        return split
    return split.take(np.linspace(0, len(split) - 1, rows).astype(np.int64))
