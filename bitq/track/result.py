"""The record of a run, as dataclasses; `result.json` is exactly this.

It is written when the run starts (``running``) and again when it ends, so a reader always knows how it ended.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bitq.core import files
from bitq.core.metrics import merit

SCHEMA_VERSION = 1
Status = Literal["running", "finished", "failed", "interrupted", "pruned"]
Kind = Literal["float", "int8", "binary", "ternary", "nbit", "hybrid", "tree"]


@dataclass(frozen=True)
class Metric:
    """A metric over the seeds; ``std`` has ddof 1 and is 0 for one seed.

    Metrics of classes and anomalies lie in 0..1, and ``min`` is the worst seed. An error (``mae``) is in the units of
    the target and less is better, so ``min`` is the best seed.
    """

    name: str
    per_seed: list[float]
    mean: float
    std: float
    min: float

    @property
    def worst(self) -> float:
        """Value of the worst seed."""
        return min(self.per_seed, key=lambda value: merit(self.name, value))

    @classmethod
    def over(cls, name: str, per_seed: list[float]) -> Metric:
        """Summarize one value per seed."""
        spread = statistics.stdev(per_seed) if len(per_seed) > 1 else 0.0
        return cls(name, per_seed, statistics.fmean(per_seed), spread, min(per_seed))


@dataclass(frozen=True)
class TargetResult:
    """What was measured on one target; all sizes in bytes, instructions executed per inference.

    ``executed`` names where the firmware ran ("unicorn", "qemu") or is empty when no emulator was there;
    ``cycles_estimate`` is what a manual says that the instructions take (`bitq.device.cycles`).
    """

    compiler: str
    flags: str
    executed: str
    flash_bytes: int
    flash_image_bytes: int
    ram_bytes: int | None
    stack_bytes: int | None
    instructions: int | None
    samples_checked: int
    mismatches: int
    cycles_estimate: int | None = None


@dataclass
class VariantResult:
    """One variant (float, int8, binary, …) over all seeds, and its firmware.

    ``given`` is the quantized file whose integers were taken as they are; empty where bitq trained or rounded them.
    """

    kind: Kind
    bits: dict[str, int]
    metric: Metric
    metric_before_rounding: Metric
    convergence: dict[str, float]
    parameter_bytes: int | None = None
    deployed_seed: int | None = None
    deploy: str | None = None
    host_samples_checked: int = 0
    host_mismatches: int = 0
    targets: dict[str, TargetResult] = field(default_factory=dict[str, TargetResult])
    metric_validation: Metric | None = None
    given: str = ""

    @property
    def exact(self) -> bool | None:
        """Whether C and firmware equalled the reference on every sample; None where nothing was deployed."""
        if self.deploy is None:
            return None
        return self.host_mismatches == 0 and all(t.mismatches == 0 for t in self.targets.values())


@dataclass
class RunResult:
    """One command from start to end."""

    experiment: str
    fingerprint: str
    command: str
    started: str
    seeds: list[int]
    data: dict[str, Any]
    tools: dict[str, str]
    status: Status = "running"
    seconds: float = 0.0
    variants: dict[str, VariantResult] = field(default_factory=dict[str, VariantResult])
    error: str = ""

    def write(self, path: Path) -> None:
        """Write result.json atomically."""
        files.write_json(path, {"schema_version": SCHEMA_VERSION, **asdict(self)})
