"""The config of a training."""

from __future__ import annotations

from dataclasses import dataclass

from bitq.core.fields import choice, number
from bitq.core.registry import Registry


@dataclass
class TrainConfig:
    """How every network of a run is trained, float and low-bit alike.

    Attributes:
        name: what reports call it.
        epochs: passes over the training data; 0 takes the weights of ``init`` as they are, for rounding alone.
        batch: rows per step.
        lr: learning rate of Adam at the start.
        schedule: ``cosine`` anneals it to 0.
        eval_rows: validation rows for the curve of each epoch; results are always taken on all of them.
        init: file of float weights that every seed starts from, ``.safetensors`` or a ``state_dict`` of torch.
    """

    name: str = "default"
    epochs: int = number(10, 0, 100_000)
    batch: int = number(128, 2, 1_000_000, "rows")
    lr: float = number(3e-3, 1e-9, 10.0)
    schedule: str = choice("cosine", ("cosine", "constant"))
    eval_rows: int = number(2000, 1, 10_000_000, "rows")
    init: str | None = None


TRAININGS: Registry[object] = Registry("training")
TRAININGS.register("default", TrainConfig, "bitq.train.fit:fit")
