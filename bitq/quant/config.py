"""The config of a quantization method: one composition of forward, regularizer, schedule, scale and freezing."""

from __future__ import annotations

from dataclasses import dataclass

from bitq.core.fields import choice, number
from bitq.core.registry import Registry


@dataclass
class MethodConfig:
    """How weights become integers during training; every YAML file in ``conf/quant/`` is one composition.

    All fractions are of the whole training.

    Attributes:
        name: what reports call the method.
        forward: ``float`` trains real weights that the regularizer and the freezing bring to the codebook;
            ``ste`` computes with rounded weights and passes gradients straight through (Bengio et al.,
            arXiv:1308.3432).
        regularizer: the pull towards the codebook.
        strength: λ; the pull per step is λ · lr (decoupled from the optimizer, so it transfers between networks).
        schedule: growth of the strength until ``freeze_start``.
        scale: one scale per tensor or per output channel.
        warmup: fraction trained with float weights first (``ste`` only).
        freeze: ``progressive`` fixes weights as they come near their codeword, ``all`` fixes everything at
            ``freeze_start``, ``none`` rounds at the very end.
        freeze_start: when freezing begins.
        freeze_end: when the last weight is frozen (``progressive``).
        reestimate: training rows for the re-estimation of batch-norm statistics at the end; 0 leaves it out.
    """

    name: str = "hq"
    forward: str = choice("float", ("float", "ste"))
    regularizer: str = choice("hq", ("none", "hq", "msqe"))
    strength: float = number(60.0, 0.0, 1e6)
    schedule: str = choice("linear", ("constant", "linear", "exponential"))
    scale: str = choice("tensor", ("tensor", "channel"))
    warmup: float = number(0.0, 0.0, 0.9)
    freeze: str = choice("progressive", ("none", "progressive", "all"))
    freeze_start: float = number(0.7, 0.0, 1.0)
    freeze_end: float = number(0.925, 0.0, 1.0)
    reestimate: int = number(8000, 0, 10_000_000, "rows")


METHODS: Registry[object] = Registry("method")
METHODS.register("method", MethodConfig, "bitq.quant.quantizer:Quantizer")
