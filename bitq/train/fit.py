"""One training from initial weights to rounded ones, with a log entry per epoch."""

from __future__ import annotations

import copy
import logging
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitq.core.errors import ConfigError, TrainingError
from bitq.data.dataset import Dataset
from bitq.quant.config import MethodConfig
from bitq.quant.policy import Policy
from bitq.quant.quantizer import QuantizedModel, Quantizer
from bitq.train.config import TrainConfig
from bitq.train.curve import Curve, Epoch, EpochLog
from bitq.train.inference import reestimate_batch_norm, to_float
from bitq.train.memory import keep_freed_memory
from bitq.train.module import EpochModule
from bitq.train.tasks import TASKS, answers

ADAROUND_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Fitted:
    """A finished training.

    Attributes:
        quantized: the model with rounded weights, and its codes (none for a float training).
        history: metrics per epoch, named ``train/loss``, ``val/accuracy``, ``weights/flips`` and so on.
        before: answers to the test split by the model as trained, before anything was rounded (see
            `bitq.train.tasks.answers`); None where the test split was not to be read.
        histograms: ``weight / scale`` per quantized matrix just before rounding, flat.
        after: as ``before``, with rounded weights and activations still in float.
        evolution: histograms of the weights over the largest codeword per matrix, ``(epochs, bins)``.
    """

    quantized: QuantizedModel
    history: list[EpochLog]
    before: NDArray[Any] | None
    histograms: dict[str, NDArray[np.float32]]
    after: NDArray[Any] | None = None
    evolution: dict[str, NDArray[np.int64]] = field(default_factory=dict[str, NDArray[np.int64]])


def fit(
    model: nn.Module,
    data: Dataset,
    config: TrainConfig,
    seed: int,
    *,
    policy: Policy | None = None,
    method: MethodConfig | None = None,
    on_test: bool = True,
    on_epoch: Epoch | None = None,
    teacher: nn.Module | None = None,
) -> Fitted:
    """Train a network for the task of a dataset, in float or under a quantization method.

    Args:
        model: plain module with fresh weights (its initialization is the caller's).
        data: the dataset; its validation split feeds the curves.
        config: how to train.
        seed: of the batch order.
        policy: which parameter gets which codebook; None trains in float.
        method: how weights become integers; required with a policy.
        on_test: whether to predict the test split.
        on_epoch: called with (epochs done, metrics) after each.
        teacher: trained float network to learn from, where ``config.distill`` is not 0.

    Raises:
        TrainingError: the loss or a weight stopped being finite.
        ConfigError: the policy does not fit the model, there is no method for it, or the data are no images to
            distort.
    """
    if policy and method is None:
        raise ConfigError("policy: a method is needed that brings the weights to the codebook.")
    x, task = to_float(data.train.x, data.input), TASKS[data.task]
    channels_last = runs_on_channels_last(model, x)
    quantizer = Quantizer(model, policy, method) if policy and method else None
    if config.distill and data.task != "classification":
        raise ConfigError(f"train.distill: softens scores of classes; set 0 for data.task={data.task}.")
    if config.augment and x.dim() != 4:
        raise ConfigError(
            f"train.augment: distorts images (channels, height, width), not {tuple(x.shape[1:])}; set 0."
        )
    if channels_last:  # convolutions run faster on it, with the same result
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's overload lacks it
        x = x.contiguous(memory_format=torch.channels_last)
    if teacher is not None:
        teacher.eval().requires_grad_(requires_grad=False)
    module = EpochModule(model, x, task.targets(data, x), task.loss(data), config, seed, quantizer, teacher)
    curve = Curve(data, x, config, quantizer, on_epoch)
    if config.epochs:
        trainer(config, curve).fit(module)
    broken = [name for name, values in model.state_dict().items() if not bool(torch.isfinite(values).all())]
    if broken:
        raise TrainingError(f"{broken[0]} holds values that are not finite: the training diverged; lower train.lr.")
    rows = calibration_rows(x, method)
    if rows is not None:
        reestimate_batch_norm(model, rows)
    before = answers(model, data.test.x, data) if on_test else None
    histograms = quantizer.normalized() if quantizer else {}
    quantized = quantizer.finish(x[:ADAROUND_ROWS]) if quantizer else QuantizedModel(model, {})
    if rows is not None:
        reestimate_batch_norm(model, rows)
    evolution = curve.close()
    after = answers(model, data.test.x, data) if on_test and quantizer else before
    return Fitted(quantized, curve.histories[0], before, histograms, after, evolution)


def runs_on_channels_last(model: nn.Module, x: Tensor) -> bool:
    """Whether a network reads images and takes that layout; one that calls ``view`` behind a convolution does not."""
    if x.dim() != 4:
        return False
    tried = copy.deepcopy(model).eval()
    tried.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's overload lacks it
    try:
        with torch.no_grad():
            tried(x[:2].contiguous(memory_format=torch.channels_last))
    except RuntimeError:
        return False
    return True


def calibration_rows(x: Tensor, method: MethodConfig | None) -> Tensor | None:
    """Return the rows that re-estimate batch-norm statistics, or None where the method does not."""
    if method is None or method.reestimate == 0:
        return None
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[: method.reestimate]]


def trainer(config: TrainConfig, *callbacks: pl.Callback) -> pl.Trainer:
    """Return Lightning's trainer without anything that costs time or prints."""
    keep_freed_memory()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|torch.utils._pytree")
    options: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False}
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    try:
        return pl.Trainer(max_epochs=config.epochs, callbacks=list(callbacks), **options, **quiet)
    except ValueError as error:
        raise TrainingError(f"Lightning refused the training: {error}") from error
