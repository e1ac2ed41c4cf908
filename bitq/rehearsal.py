"""What is refused before any training: networks that fit neither data nor chip, and policies that do not fit them."""

from __future__ import annotations

from dataclasses import replace

from bitq.config import ExperimentConfig, named_method
from bitq.core.errors import ConfigError, DeployError
from bitq.core.metrics import ERRORS
from bitq.data.dataset import Dataset
from bitq.experiment import FEW, build_model, lowered
from bitq.ir.stream import stream_of
from bitq.lowering.onnx import given as take
from bitq.quant.policy import matrix_names, resolve
from bitq.quant.quantizer import QuantizedModel, Quantizer
from bitq.train.rehearse import check_scores
from bitq.trees.config import ForestConfig


def check_variants(config: ExperimentConfig, data: Dataset) -> None:
    """Refuse, before any training, a network that does not fit the data and policies that do not fit the network.

    Every variant is run and lowered once with untrained weights.

    Raises:
        ConfigError: names the key, or the layer that is not covered.
    """
    if config.search is not None and data.metric in ERRORS:
        raise ConfigError(f"search: compares shares, and {data.metric} is an error in units; choose +search=null.")
    if isinstance(config.model, ForestConfig):
        for kind in config.variants:
            replace(config.model, kinds=[kind]).check_data(data.task, data.input.shape)
        if config.target.hop is not None:
            raise ConfigError("target.hop: trees read whole windows and keep no state; set target.hop=null.")
        return
    if data.task != "classification" and config.quant.polish != "none":
        raise ConfigError(f"quant.polish: polishes classifiers; set none for data.task={data.task}.")
    for name, variant in config.variants.items():
        given = take(config.model, data.input.shape, data.outputs) if variant.training == "given" else None
        model = build_model(config.of(name), data, config.seed) if given is None else given.model
        check_scores(model, data)
        if variant.training == "float":
            continue
        if given is not None:
            _check_chip(config, data, given, name)
            continue
        try:
            chosen = resolve(variant.policy, model)
        except ConfigError as error:
            raise ConfigError(f"variants.{name}.{error}") from error
        missing = [matrix for matrix in matrix_names(model) if matrix not in chosen]
        if missing:
            raise ConfigError(
                f"variants.{name}.policy leaves {', '.join(missing)} in float; the chip computes in integers. "
                "Give every matrix a codebook, for example '*': int8 first."
            )
        _check_chip(config, data, Quantizer(model, variant.policy, named_method("ptq")).finish(), name)


def _check_chip(config: ExperimentConfig, data: Dataset, quantized: QuantizedModel, name: str) -> None:
    """Refuse a network that cannot become integers, or not as a stream where one is asked for."""
    try:
        graph = lowered(data, quantized, name, FEW, activation_bits=config.variants[name].activation_bits)
    except DeployError as error:
        raise ConfigError(f"model {config.model.name}: {error}") from error
    try:
        if config.target.hop is not None:
            stream_of(graph, config.target.hop)
    except DeployError as error:
        raise ConfigError(f"target.hop: {error}") from error
