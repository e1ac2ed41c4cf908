"""The config of a quantization method: one composition of forward, regularizer, schedule, scale and freezing."""

from __future__ import annotations

from dataclasses import dataclass, field

from bitq.core.errors import ConfigError
from bitq.core.fields import choice, number
from bitq.core.registry import Registry

FORWARDS = ("float", "ste", "ste_clip", "dorefa", "binaryrelax", "parq", "continuation")
REGULARIZERS = ("none", "hq", "msqe", "l1", "dampen", "double_well", "cosine", "sin")
SCHEDULES = ("constant", "linear", "exponential", "cosine", "sigmoid", "step", "learned", "paced")
SCALES = ("none", "tensor", "channel", "gate", "absmean", "median", "pow2", "dorefa", "learned")
ROUNDINGS = ("nearest", "adaround")
POLISHES = ("none", "tune", "flips")
GAINS = ("free", "pow2")
BITS = (1, 2, 3, 4, 8)
FREEZES = ("none", "progressive", "all", "oscillation")


@dataclass
class MethodConfig:
    """How weights become integers during training; every YAML file in ``conf/quant/`` is one composition.

    All fractions are of the whole training. Matrices of 8 bits know only float or straight-through forward, have one
    scale per channel, feel no pull, and learn on until everything else is fixed.

    Attributes:
        name: what reports call the method.
        forward: ``float`` trains real weights that the regularizer and the freezing bring to the codebook; the others
            compute with a function of them and pass gradients straight through (`bitq.quant.forwards`).
        regularizer: the pull towards the codebook (`bitq.quant.regularizers`).
        strength: λ; the pull per step is λ · lr (decoupled from the optimizer, so it transfers between networks).
            The closed loops start from it.
        schedule: growth of the strength until ``freeze_start`` (`bitq.quant.schedules`), or a closed loop
            (`bitq.quant.feedback`): ``learned`` weighs it against the error, ``paced`` against the flip rate.
        log_weight: c of the learned strength, whose fixed point is λ = c / R.
        flip_target: share of codes that ``paced`` lets change per hundredth of the training, at its start; the target
            falls linearly to zero at ``freeze_start``.
        scale: where the scale comes from (`bitq.quant.scales`).
        tune_scales: whether scales learn on once all codes are frozen; where no batch norm follows, they matter.
        clip: clamp the real weights to the range of the codebook after each step (scales that do not follow the
            weights only, since those would shrink with them).
        warmup: fraction trained with float weights first (every forward but ``float``).
        freeze: ``progressive`` fixes weights as they come near their codeword, ``all`` fixes everything at
            ``freeze_start``, ``oscillation`` fixes weights that keep changing their code, ``none`` rounds at the end.
        freeze_start: when freezing begins; schedules and forwards that change arrive here.
        freeze_end: when the last weight is frozen (``progressive`` and ``oscillation``).
        flip_limit: oscillations per step from which on a weight is fixed (``oscillation``); four times as many are
            allowed at ``freeze_start``.
        rounding: of what is still free at the end: to the ``nearest`` codeword, or chosen layer by layer so that the
            layer's output on training rows stays as it was (``adaround``, `bitq.quant.adaround`).
        polish: what the last epochs do on the integer model, codes fixed, integers simulated (`bitq.train.polish`):
            ``tune`` trains its biases and multipliers, ``flips`` also searches over single codes.
        polish_epochs: of the training's epochs, for the polish.
        flip_rounds: of the search over codes.
        gains: ``pow2`` holds the multipliers of the integer model to powers of two while they are polished.
        bits: what a matrix may have instead of its policy's codebook if the bits shall be learned, all of it fewer
            (`bitq.quant.bits`); empty leaves the policy's.
        budget: bytes of the packed weights whose bits are learned, as a share of theirs at 8 bits.
        decide: when each matrix gets its one codebook; from then on the method goes on as without learned bits.
        reestimate: training rows for the re-estimation of batch-norm statistics at the end; 0 leaves it out.
    """

    name: str = "hq"
    forward: str = choice("float", FORWARDS)
    regularizer: str = choice("hq", REGULARIZERS)
    strength: float = number(60.0, 0.0, 1e6)
    schedule: str = choice("linear", SCHEDULES)
    log_weight: float = number(0.1, 1e-6, 1e6)
    flip_target: float = number(0.05, 1e-5, 1.0)
    scale: str = choice("tensor", SCALES)
    tune_scales: bool = False
    clip: bool = False
    warmup: float = number(0.0, 0.0, 0.9)
    freeze: str = choice("progressive", FREEZES)
    freeze_start: float = number(0.7, 0.0, 1.0)
    freeze_end: float = number(0.925, 0.0, 1.0)
    flip_limit: float = number(0.01, 0.0, 1.0, "per step")
    rounding: str = choice("nearest", ROUNDINGS)
    polish: str = choice("none", POLISHES)
    polish_epochs: int = number(1, 1, 10_000, "epochs")
    flip_rounds: int = number(30, 1, 100_000, "rounds")
    gains: str = choice("free", GAINS)
    bits: list[int] = field(default_factory=list[int])
    budget: float = number(0.25, 0.01, 1.0)
    decide: float = number(0.3, 0.0, 1.0)
    reestimate: int = number(8000, 0, 10_000_000, "rows")

    def check(self, path: str) -> None:
        """Refuse compositions that mean nothing.

        Raises:
            ConfigError: two fields contradict each other.
        """

        def need(key: str, value: str, holds: bool, allowed: str) -> None:
            if not holds:
                raise ConfigError(f"{path}.{key}: '{value}' needs {allowed}.")

        real = self.forward == "float"
        if not set(self.bits) <= set(BITS):
            raise ConfigError(f"{path}.bits: choose among 1, 2, 3, 4 and 8; got {list(self.bits)}.")
        if self.bits:
            early = self.freeze == "none" or self.decide <= self.freeze_start
            need("decide", f"{self.decide:g}", early, f"at most {path}.freeze_start={self.freeze_start:g}")
            need("bits", f"{list(self.bits)}", self.warmup == 0, f"{path}.warmup=0, not {self.warmup:g}")
        if self.warmup:
            need("warmup", f"{self.warmup:g}", not real, f"{path}.forward other than float, which is float anyway")
        if self.gains == "pow2":
            need("gains", "pow2", self.polish != "none", f"{path}.polish tune or flips, which trains them")
        if self.rounding == "adaround":
            need("rounding", "adaround", real, f"{path}.forward=float, not {self.forward}")
        if self.forward == "dorefa":
            need("forward", "dorefa", self.regularizer == "none", f"{path}.regularizer=none, not {self.regularizer}")
            whole = self.freeze in ("none", "all")
            need("forward", "dorefa", whole, f"{path}.freeze none or all, not {self.freeze}")
        if self.scale == "learned":
            need("scale", "learned", self.forward == "ste_clip", f"{path}.forward=ste_clip, not {self.forward}")
        if self.clip:
            fixed = self.scale in ("none", "pow2", "learned")
            need("clip", "true", fixed, f"{path}.scale none, pow2 or learned, not {self.scale}: it would shrink")
        if self.schedule == "paced":
            need("schedule", "paced", self.regularizer != "none", f"a {path}.regularizer to steer")
        if self.schedule == "learned":
            squared = self.regularizer == "msqe"
            need("schedule", "learned", squared, f"{path}.regularizer=msqe, not {self.regularizer}")


METHODS: Registry[object] = Registry("method")
METHODS.register("method", MethodConfig, "bitq.quant.quantizer:Quantizer")
