"""Quantization as a Lightning callback: somebody's own training script needs one line more and no other change.

trainer = pl.Trainer(max_epochs=20, callbacks=[quantization := bitq.Quantization({"*": "bipolar"})])
trainer.fit(module, loader)
graph = bitq.lower(quantization.quantized, calibration)
"""

from __future__ import annotations

import logging
import math
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn
from torch.optim import Optimizer

from bitq.config import named_method
from bitq.core.errors import ConfigError, TrainingError
from bitq.quant.config import MethodConfig
from bitq.quant.policy import Policy, resolve
from bitq.quant.quantizer import QuantizedModel, Quantizer

_LOG = logging.getLogger(__name__)


class Quantization(pl.Callback):
    """Brings the weights of a LightningModule to their codebooks while it trains, and rounds them at the end.

    It hangs on the steps of the module's own optimizers: learning-rate schedulers, gradient accumulation and several
    optimizers, also in manual optimization, work as they are. Each optimizer takes care of the matrices it updates.
    Validation and checkpoints see the weights that the network computes with. Going on from a checkpoint of such a
    training is refused, since those do not hold the real weights behind them.

    Args:
        policy: parameter-name patterns to codebooks; see `bitq.quantize`.
        method: a file of ``conf/quant/``, or a config of your own.
        submodule: path of the network within the LightningModule, as in ``model`` for ``self.model``; parameter names
            then begin there, and `quantized` holds that network. By default the LightningModule itself.

    Raises:
        ConfigError: there is no such method.
    """

    def __init__(self, policy: Policy, method: str | MethodConfig = "ste_msqe", submodule: str = "") -> None:
        self.policy = policy
        self.method = named_method(method) if isinstance(method, str) else method
        self.submodule = submodule
        self._quantizers: list[Quantizer] = []
        self._model: nn.Module | None = None
        self._exact = True
        self._before = 0.0
        self._result: QuantizedModel | None = None

    @property
    def quantized(self) -> QuantizedModel:
        """The rounded network and its codes, for `bitq.lower`; there once the training has ended.

        Raises:
            TrainingError: it has not.
        """
        if self._result is None:
            raise TrainingError("nothing is quantized yet; call trainer.fit first, or finish() to round at once.")
        return self._result

    def finish(self) -> QuantizedModel:
        """Round now and let go of the optimizers; the end of the training does it by itself.

        Raises:
            TrainingError: no training has begun, or a weight is not finite.
        """
        if self._result is None and self._model is not None:
            weights = {name: weight for q in self._quantizers for name, weight in q.finish().weights.items()}
            self._result = QuantizedModel(self._model, weights)
        return self.quantized

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hang a quantizer on each optimizer that updates a matrix of the policy.

        Raises:
            ConfigError: the policy does not fit, a matrix has no optimizer or two, or the training has no end.
        """
        try:
            model = pl_module.get_submodule(self.submodule)
        except AttributeError as error:
            raise ConfigError(f"submodule: {type(pl_module).__name__} has no '{self.submodule}'.") from error
        self._model, self._result = model, None
        scheduled = any(isinstance(callback, GradientAccumulationScheduler) for callback in _callbacks(trainer))
        self._exact = pl_module.automatic_optimization and not scheduled
        total = _steps(trainer)
        self._before = _share_done(trainer)
        self._quantizers = []
        for optimizer, policy in _shares(resolve(self.policy, model), model, trainer.optimizers):
            quantizer = Quantizer(model, policy, self.method)
            quantizer.attach(optimizer, total)
            self._quantizers.append(quantizer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Learn how many steps an optimizer takes per batch, where Lightning does not know it."""
        if self._exact or self._result is not None:
            return
        done = (_share_done(trainer) - self._before) / (1.0 - self._before)
        for quantizer in self._quantizers:
            if quantizer.steps:
                quantizer.expect(round(quantizer.steps / done))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log how many weights have arrived, and how many changed their code, to the module's loggers."""
        if self._result is not None:
            return
        for number, quantizer in enumerate(self._quantizers):
            suffix = f"/{number}" if len(self._quantizers) > 1 else ""
            for name, value in quantizer.measure().items():
                pl_module.log(f"{name}{suffix}", value)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Round."""
        if self._result is None:
            done = min((quantizer.progress for quantizer in self._quantizers), default=1.0)
            if done < self.method.freeze_start:
                _LOG.warning("training ended after %.0f %% of its steps: the weights are rounded early.", 100 * done)
            self.finish()

    def state_dict(self) -> dict[str, Any]:
        """Return a mark for checkpoints, by which `on_load_checkpoint` knows them."""
        return {"quantizing": True} if self._quantizers else {}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to train on from a checkpoint of a quantized training; any other use is fine.

        Raises:
            ConfigError: it was saved while a callback like this one was at work.
        """
        if trainer.state.fn == TrainerFn.FITTING and self.state_key in checkpoint.get("callbacks", {}):
            raise ConfigError(
                "ckpt_path: this checkpoint was saved while its weights were being quantized and lacks the real ones "
                "behind them; start from a float checkpoint, or anew."
            )


def _steps(trainer: pl.Trainer) -> int:
    """Return the optimizer steps that are left, by the trainer's own estimate."""
    estimate = trainer.estimated_stepping_batches
    if not math.isfinite(estimate) or estimate < 1:
        raise ConfigError(
            "Trainer: the number of steps is not known beforehand, and a method's schedule needs it; "
            "set max_steps, or max_epochs with a loader that has a length."
        )
    return max(1, int(estimate) - trainer.global_step)


def _share_done(trainer: pl.Trainer) -> float:
    """Return the share of the training that is done, by batches or by steps, whichever ends it sooner."""
    batches = trainer.num_training_batches * (trainer.max_epochs or math.inf)
    by_batch = (trainer.fit_loop.total_batch_idx + 1) / batches if batches > 0 else 0.0
    by_step = trainer.global_step / trainer.max_steps if trainer.max_steps > 0 else 0.0
    return max(by_batch, by_step)


def _shares(
    books: dict[str, Any], model: nn.Module, optimizers: list[Optimizer]
) -> list[tuple[Optimizer, dict[str, str]]]:
    """Return the optimizers that update quantized matrices, and a policy for each with the matrices by name."""
    shares: list[tuple[Optimizer, dict[str, str]]] = [(optimizer, {}) for optimizer in optimizers]
    owned = [{id(p) for group in optimizer.param_groups for p in group["params"]} for optimizer in optimizers]
    for name, book in books.items():
        mine = [place for place, held in enumerate(owned) if id(model.get_parameter(name)) in held]
        if len(mine) != 1:
            raise ConfigError(f"{name} has {len(mine)} optimizers; a quantized matrix needs exactly one.")
        shares[mine[0]][1][name] = book.name
    return [(optimizer, policy) for optimizer, policy in shares if policy]


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    return trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]  Lightning adds it at run time
