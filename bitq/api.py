"""bitq as a library: quantize, lower, export and load, without Hydra, MLflow or Lightning.

quantizer = bitq.quantize(model, {"*": "bipolar"}, optimizer, total_steps=1000)
...                                          # any training loop over that optimizer
graph = bitq.lower(quantizer.finish(), calibration)
bitq.export(graph, "deploy")
scores, winners = bitq.load("deploy").predict(x)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo
from bitq.config import named_method
from bitq.data.dataset import InputSpec
from bitq.device.host import HostModel
from bitq.ir.graph import Graph
from bitq.lowering.lower import lower as lower_model
from bitq.lowering.lower import reads_channels_last
from bitq.quant.config import MethodConfig
from bitq.quant.policy import Policy
from bitq.quant.quantizer import QuantizedModel, Quantizer
from bitq.train.inference import reestimate_batch_norm


def quantize(
    model: nn.Module,
    policy: Policy,
    optimizer: Optimizer,
    total_steps: int,
    method: str | MethodConfig = "ste_msqe",
) -> Quantizer:
    """Attach a quantization method to a model and its optimizer.

    Args:
        model: any plain module.
        policy: parameter-name patterns to codebooks (bipolar, ternary, odd2, odd3, odd4, int8, float); the last
            match wins.
        optimizer: updates the model; the method runs after each of its steps.
        total_steps: optimizer steps in the whole training.
        method: a file of ``conf/quant/``, or a config of your own.

    Returns:
        The quantizer; call its ``finish()`` after training.

    Raises:
        ConfigError: there is no such method, or the policy does not fit the model.
    """
    quantizer = Quantizer(model, policy, named_method(method) if isinstance(method, str) else method)
    quantizer.attach(optimizer, total_steps)
    return quantizer


def post_training(model: nn.Module, policy: Policy, calibration: Tensor | None = None) -> QuantizedModel:
    """Round the weights of a trained float model, without any training.

    Args:
        model: rounded in place.
        policy: as for `quantize`; ``{"*": "int8"}`` costs next to nothing as a rule.
        calibration: real inputs ``(n, *shape)``; batch-norm statistics are estimated again on them, which few bits
            need.

    Raises:
        ConfigError: the policy does not fit the model.
    """
    quantized = Quantizer(model, policy, named_method("ptq")).finish()
    if calibration is not None:
        reestimate_batch_norm(model, calibration)
    return quantized


def lower(
    quantized: QuantizedModel,
    calibration: Tensor,
    spec: InputSpec | None = None,
    *,
    name: str = "model",
    classify: bool = True,
    activation_bits: int = 8,
) -> Graph:
    """Turn a quantized model into an integer graph.

    Args:
        quantized: from ``Quantizer.finish()``.
        calibration: real inputs ``(n, *shape)``; some hundred training rows.
        spec: integer encoding of the input; by default symmetric INT8 over the range of the calibration inputs.
        name: C identifier; prefix of all symbols.
        classify: whether the entry point returns the index of the largest score.
        activation_bits: of activations that are never negative, and of the input: 8, or 7, with which cores with the
            DSP extension add 1-bit layers up in fewer instructions.

    Raises:
        DeployError: a module is not covered; names it.
    """
    if spec is None:
        scale = float(calibration.abs().max()) / 127 or 1.0
        spec = InputSpec(tuple(calibration.shape[1:]), scale, 0, reads_channels_last(quantized.model, calibration))
    return lower_model(quantized, calibration, spec, name=name, classify=classify, activation_bits=activation_bits)


def export(graph: Graph, folder: str | Path, info: DeployInfo | None = None, optimize: str = "balanced") -> Path:
    """Write a deploy folder: C, manifest, and test vectors over random inputs.

    Args:
        graph: from `lower`.
        folder: must not exist yet or be a deploy folder, which is replaced.
        info: names of classes and what else the manifest should tell.
        optimize: ``size``, ``balanced`` or ``speed``: what decides how each layer is computed.
    """
    none = np.zeros((0, *graph.input.shape), np.int8)
    write_deploy(Path(folder), graph, info or DeployInfo(), vectors_of(graph, none, np.zeros(0, np.int64)), optimize)
    return Path(folder)


def load(folder: str | Path) -> HostModel:
    """Compile the C of a deploy folder for this computer; its ``predict`` takes int8 inputs, channels last."""
    return HostModel(Path(folder))
