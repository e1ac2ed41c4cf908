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
        schedule: ``cosine`` anneals it to 0; ``hold`` keeps it for a while and then anneals it to 0 along a cosine.
        hold: share of the training at the full rate, for ``hold``.
        augment: random affine distortion of training images, as a factor on the ranges in `bitq.train.augment`; 0 is
            none.
        distill: weight of the teacher's softened scores in the loss, the float twin of the same seed being the
            teacher; the labels have the rest. Float trainings have no teacher.
        temperature: that softens the scores.
        eval_rows: validation rows for the curve of each epoch; results are always taken on all of them.
        init: file of float weights that every seed starts from, ``.safetensors`` or a ``state_dict`` of torch.
    """

    name: str = "default"
    epochs: int = number(10, 0, 100_000)
    batch: int = number(128, 2, 1_000_000, "rows")
    lr: float = number(3e-3, 1e-9, 10.0)
    schedule: str = choice("cosine", ("cosine", "hold", "constant"))
    hold: float = number(0.75, 0.0, 0.99)
    augment: float = number(0.0, 0.0, 4.0)
    distill: float = number(0.0, 0.0, 1.0)
    temperature: float = number(4.0, 0.1, 100.0)
    eval_rows: int = number(2000, 1, 10_000_000, "rows")
    init: str | None = None


TRAININGS: Registry[object] = Registry("training")
TRAININGS.register("default", TrainConfig, "bitq.train.fit:fit")
