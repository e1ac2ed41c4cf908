"""One repeat of one variant: initialize, train, round, lower, evaluate. Runs in a worker process.

This is where torch meets the integer graph; what comes back is plain values, arrays and the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import nn
from torch.nn.parameter import UninitializedParameter

from bitq.config import ExperimentConfig, VariantConfig, named_method
from bitq.core import files
from bitq.core.errors import ConfigError
from bitq.core.metrics import merit
from bitq.core.processes import report
from bitq.data.dataset import Dataset, Split, to_chip
from bitq.ir.graph import Graph
from bitq.lowering.heads import in_units, reconstruction_error
from bitq.lowering.lower import lower
from bitq.lowering.onnx import given
from bitq.nn.config import MODELS
from bitq.quant.config import MethodConfig
from bitq.quant.quantizer import QuantizedModel, Quantizer
from bitq.sim.simulate import evaluate, simulate
from bitq.train.checkpoint import load_weights
from bitq.train.fit import EpochLog, Fitted, fit
from bitq.train.inference import to_float
from bitq.train.metrics import METRICS
from bitq.train.polish import Polish, Rows, polish
from bitq.train.rehearse import run_once
from bitq.train.stacked import fit_stacked, pays
from bitq.train.tasks import answers
from bitq.trees.config import ForestConfig

CALIBRATION_ROWS = 2000
FEW = 64  # rows that calibrate a network which is only asked what it would be


@dataclass(frozen=True)
class Job:
    """One training: which variant, which seed, and where its files go.

    Attributes:
        config: the experiment.
        variant: a key of ``config.variants``.
        seed: of the initial weights and the batch order.
        folder: of this run; the weights go to ``folder/variant/seed-N.safetensors``.
        on_test: whether to read the test split (searches must not).
    """

    config: ExperimentConfig
    variant: str
    seed: int
    folder: Path
    on_test: bool = True

    def weights_path(self, variant: str) -> Path:
        """Return where the trained weights of a variant with this seed are kept."""
        return self.folder / variant / f"seed-{self.seed}.safetensors"


@dataclass(frozen=True, eq=False)
class Trained:
    """What one training gave; metrics in 0..1, an error as mae in the units of the target.

    Attributes:
        variant: its name.
        seed: its seed.
        bits: per weight matrix; empty for float and for trees.
        validation: metric of the model to be delivered (integer graph, or float network) on validation.
        test: the same on test; None where the test split was not read.
        before: the metric on test of the network as trained, before rounding weights and activations.
        rounded: the metric on test with rounded weights and activations in float.
        history: metrics per epoch.
        graph: the integer graph; None for float.
        histograms: ``weight / scale`` per matrix just before rounding.
        evolution: counts of the weights over the largest codeword per matrix, ``(epochs, bins)``.
        metric: name of the metric.
        given: the quantized file whose integers it is, as they are; empty where they are bitq's.
    """

    variant: str
    seed: int
    bits: dict[str, int]
    validation: float
    test: float | None
    before: float | None
    rounded: float | None
    history: list[EpochLog]
    graph: Graph | None
    histograms: dict[str, NDArray[np.float32]]
    evolution: dict[str, NDArray[np.int64]]
    metric: str
    given: str = ""


def run_job(data: Dataset, job: Job) -> Trained:
    """Train one variant with one seed and evaluate what would be delivered.

    Args:
        data: the dataset of the experiment.
        job: what to do.

    Raises:
        ConfigError: the network or the policy does not fit the data.
        TrainingError: the training diverged.
        DeployError: the network cannot be lowered.
    """
    if isinstance(job.config.model, ForestConfig):
        return _grown(data, job, job.config.model)
    torch.set_num_threads(1)
    job = replace(job, config=job.config.of(job.variant))
    variant = job.config.variants[job.variant]
    make = {"ptq": _after_training, "given": _given}.get(variant.training, _trained)
    return _evaluated(data, job, variant, make(data, job, variant))


def run_repeats(data: Dataset, jobs: Sequence[Job], known: Collection[int] = ()) -> Iterator[Trained]:
    """Train one variant with several seeds: all in one where that pays, else one after the other.

    What one training in a group gives depends, by float rounding, on the seeds that it is trained with; so a group
    that lacks some is trained as a whole.

    Args:
        data: the dataset of the experiment.
        jobs: alike but for the seed.
        known: seeds whose results are not needed again.

    Raises:
        BitqError: as `run_job`.
    """
    config = jobs[0].config.of(jobs[0].variant)
    variant = config.variants[jobs[0].variant]
    method = config.quant if variant.training == "method" else None
    train = replace(
        config.train, epochs=config.train.epochs - _polish_epochs(replace(jobs[0], config=config), variant)
    )
    one_by_one = len(jobs) == 1 or variant.training not in ("float", "method")
    if one_by_one or not pays(build_model(config, data, jobs[0].seed), data, train, method):
        yield from (run_job(data, job) for job in jobs if job.seed not in known)
        return
    torch.set_num_threads(1)
    fitted = fit_stacked(
        [build_model(config, data, job.seed) for job in jobs],
        data,
        train,
        [job.seed for job in jobs],
        policy=variant.policy or None,
        method=method,
        on_test=jobs[0].on_test,
        on_epoch=lambda epoch, log: report((epoch, log)),
    )
    for job, one in zip(jobs, fitted, strict=True):
        if job.seed not in known:
            yield _evaluated(data, replace(job, config=config), variant, one)


def _evaluated(data: Dataset, job: Job, variant: VariantConfig, fitted: Fitted) -> Trained:
    """Lower what was trained, polish it, keep its weights, and read its metrics."""
    model, weights = fitted.quantized.model, fitted.quantized.weights
    name, graph = f"{job.config.experiment}_{job.variant}", None
    if weights:
        graph = lowered(data, fitted.quantized, name, activation_bits=variant.activation_bits)
    if graph is not None and _polish_epochs(job, variant):
        graph = _polished(data, job, graph)
    files.write_bytes(job.weights_path(job.variant), save({k: v.contiguous() for k, v in model.state_dict().items()}))
    metric = METRICS[data.metric]

    def score(x: NDArray[np.int8], y: NDArray[Any]) -> float:
        return metric(y, answers(model, x, data) if graph is None else graph_answers(graph, x, data))

    return Trained(
        job.variant,
        job.seed,
        {name: weight.book.bits for name, weight in weights.items()},
        score(data.val.x, data.val.y),
        score(data.test.x, data.test.y) if job.on_test else None,
        metric(data.test.y, fitted.before) if fitted.before is not None else None,
        metric(data.test.y, fitted.after) if fitted.after is not None else None,
        fitted.history,
        graph,
        fitted.histograms,
        fitted.evolution,
        data.metric,
        job.config.model.path if variant.training == "given" else "",
    )


def needs_float_twin(job: Job) -> bool:
    """Whether a training begins with the float network of the same seed, or learns from it."""
    training = job.config.variants[job.variant].training
    return training == "ptq" or (training == "method" and job.config.train.distill > 0)


def build_model(config: ExperimentConfig, data: Dataset, seed: int) -> nn.Module:
    """Return the network of an experiment with the initial weights of a seed, or of the file in ``train.init``.

    Raises:
        ConfigError: network and data, or network and file, do not fit.
    """
    torch.manual_seed(seed)
    model = MODELS[config.model.name].load()(config.model, data.input.shape, data.outputs)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model {config.model.name}: it builds a {type(model).__name__}; a torch.nn.Module is needed."
        )
    if any(isinstance(parameter, UninitializedParameter) for parameter in model.parameters()):
        run_once(model, torch.zeros(1, *data.input.shape))  # layers that take their width from their first input
        model.train()
    if config.train.init is not None:
        try:
            load_weights(model, config.train.init)
        except ConfigError as error:
            raise ConfigError(f"train.init: {error}") from error
    return model


def graph_answers(graph: Graph, x: NDArray[np.int8], data: Dataset) -> NDArray[Any]:
    """Return an integer graph's answers to rows of a dataset; see `bitq.train.tasks.answers`."""
    found = evaluate(graph, to_chip(x))
    if data.task == "classification":
        return found.winners
    real = simulate(graph).real(torch.from_numpy(found.scores)).numpy()
    return real if data.task == "regression" else real[:, 0]


def lowered(
    data: Dataset, quantized: QuantizedModel, name: str, rows: int = CALIBRATION_ROWS, *, activation_bits: int = 8
) -> Graph:
    """Return the integer graph of a model with rounded weights, with the answers that its task asks for.

    Args:
        data: whose training rows calibrate the activations.
        quantized: the model.
        name: of the graph; cut to 31 characters.
        rows: of the training split, the same ones for every model.
        activation_bits: as in `bitq.lowering.lower.lower`.
    """
    chosen = np.random.default_rng(0).permutation(len(data.train))[:rows]
    calibration = to_float(data.train.x[chosen], data.input)
    if data.task == "classification":
        return lower(quantized, calibration, data.input, name=name[:31], activation_bits=activation_bits)
    if data.task == "regression":
        quantized = in_units(quantized, data.target_mean, data.target_std)
    else:
        quantized = reconstruction_error(quantized)
    return lower(quantized, calibration, data.input, name=name[:31], classify=False, activation_bits=activation_bits)


def _trained(data: Dataset, job: Job, variant: VariantConfig) -> Fitted:
    quantized = variant.training == "method"
    teacher = None
    if quantized and job.config.train.distill:
        teacher = _float_twin(data, replace(job, on_test=False)).quantized.model
    train = job.config.train
    return fit(
        build_model(job.config, data, job.seed),
        data,
        replace(train, epochs=train.epochs - _polish_epochs(job, variant)),
        job.seed,
        policy=variant.policy or None,
        method=job.config.quant if quantized else None,
        on_test=job.on_test,
        on_epoch=lambda epoch, log: report((epoch, log)),
        teacher=teacher,
    )


def _after_training(data: Dataset, job: Job, variant: VariantConfig) -> Fitted:
    """Round the float network of the same seed and settings."""
    twin = _float_twin(data, job)
    quantizer = Quantizer(twin.quantized.model, variant.policy, named_method("ptq"))
    histograms, quantized = quantizer.normalized(), quantizer.finish()
    after = answers(quantized.model, data.test.x, data) if job.on_test else None
    return replace(twin, quantized=quantized, histograms=histograms, after=after)


def _given(data: Dataset, job: Job, variant: VariantConfig) -> Fitted:
    """Take the integers of a file as they are."""
    quantized = given(job.config.model, data.input.shape, data.outputs)
    before = answers(quantized.model, data.test.x, data) if job.on_test else None
    return Fitted(quantized, [], before, {}, before)


def _float_twin(data: Dataset, job: Job) -> Fitted:
    """Return the float network of the same seed and settings; train it where the run has none, or not yet."""
    settings = job.config.variants[job.variant].settings
    others = job.config.variants.items()
    base = next((name for name, o in others if (o.training, o.settings) == ("float", settings)), None)
    if base is None or not job.weights_path(base).is_file():
        return _trained(data, job, VariantConfig(training="float"))
    model = build_model(job.config, data, job.seed)
    model.load_state_dict(load_file(job.weights_path(base)))
    before = answers(model, data.test.x, data) if job.on_test else None
    return Fitted(QuantizedModel(model, {}), [], before, {})


def _polish_epochs(job: Job, variant: VariantConfig) -> int:
    """Return how many of the training's epochs belong to the integer model."""
    method = job.config.quant
    return method.polish_epochs if variant.training == "method" and method.polish != "none" else 0


def _polished(data: Dataset, job: Job, graph: Graph) -> Graph:
    method: MethodConfig = job.config.quant
    how = Polish(
        epochs=method.polish_epochs,
        batch=job.config.train.batch,
        flips=method.flip_rounds if method.polish == "flips" else 0,
        powers_of_two=method.gains == "pow2",
    )
    train, val = (Rows(torch.from_numpy(to_chip(s.x)), torch.from_numpy(s.y)) for s in (data.train, data.val))
    return polish(graph, train, val, torch.tensor(data.class_weights), how, job.seed)


def _grown(data: Dataset, job: Job, config: ForestConfig) -> Trained:
    from bitq.trees.grow import grow  # scikit-learn is loaded where trees grow only

    metric = METRICS[data.metric]
    graph, before = grow(
        config,
        job.variant,
        data,
        name=f"{job.config.experiment}_{job.variant}"[:31],
        seed=job.seed,
        merit=lambda truth, said: merit(data.metric, metric(truth, said)),
        on_candidate=lambda done, total: report((done, total)),
    )

    def score(split: Split) -> float:
        return metric(split.y, graph_answers(graph, split.x, data))

    test = score(data.test) if job.on_test else None
    floating = metric(data.test.y, before(data.test.x)) if job.on_test else None
    return Trained(job.variant, job.seed, {}, score(data.val), test, floating, None, [], graph, {}, {}, data.metric)
