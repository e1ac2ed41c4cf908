"""The config of trees, registered among the models without loading scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, field

from bitq.core.errors import ConfigError, nearest
from bitq.core.fields import choice, number
from bitq.nn.config import MODELS

KINDS = {
    "classification": ("tree", "forest", "soft", "boosting"),
    "regression": ("tree", "forest", "boosting"),
    "anomaly": ("isolation",),
}
"""Kinds of trees that learn each task."""

FEATURES = ("auto", "raw", "statistics")
_EVERY_KIND = tuple(dict.fromkeys(kind for kinds in KINDS.values() for kind in kinds))
STATISTICS = ("mean", "std", "rms", "min", "max", "range", "crossings", "difference")


@dataclass
class ForestConfig:
    """Trees in place of a network; number and depth of the trees follow from a byte budget.

    Attributes:
        kinds: what is trained and compared, each a variant of its name, as far as it learns the task of the data:
            one ``tree``; a ``forest`` whose trees each vote for a class, or give a mean that is averaged; ``soft``,
            one whose leaves hold the shares of the classes; ``boosting``; ``isolation``, a forest that finds
            anomalies by the fewer comparisons that isolate them.
        budget_bytes: parameters: nodes and leaves of all trees as tables, divided among the targets of a regression,
            and what describes their statistics. Of all depths, each with as many trees as fit, the best on validation
            wins.
        max_depth: comparisons from root to leaf, at most.
        max_trees: trees, at most.
        features: ``raw`` input elements, or ``statistics`` of windows of each channel, computed on the chip too;
            ``auto`` takes what is better on validation where the data has a time axis, else raw.
        windows: windows of one length that a signal is cut into for its statistics, the last one ending with it; more
            where one would exceed 128 samples.
        statistics: which ones (`bitq.ir.ops.features`).
        leaf_bits: of the values in the leaves of all trees but those that vote.
        learning_rate: of boosting.
        rows: training rows that one tree sees, and validation rows that choose between candidates, at most.
    """

    name: str = "forest"
    kinds: list[str] = field(default_factory=lambda: list(_EVERY_KIND))
    budget_bytes: int = number(2000, 16, 1_000_000, "bytes")
    max_depth: int = number(8, 1, 10)
    max_trees: int = number(500, 1, 10_000)
    features: str = choice("auto", FEATURES)
    windows: int = number(5, 1, 1000)
    statistics: list[str] = field(default_factory=lambda: list(STATISTICS))
    leaf_bits: int = choice(8, (8, 16))
    learning_rate: float = number(0.3, 1e-4, 1.0)
    rows: int = number(20_000, 10, 10_000_000, "rows")

    def check(self, path: str) -> None:
        """Refuse kinds and statistics that are not known, named twice, or none at all."""
        _check_names(f"{path}.kinds", self.kinds, _EVERY_KIND)
        _check_names(f"{path}.statistics", self.statistics, STATISTICS)

    def learning(self, task: str | None) -> list[str]:
        """Return the kinds that learn a task; of one that nothing tells yet those that classify, else all.

        Raises:
            ConfigError: none of them learns it.
        """
        found = [kind for kind in self.kinds if kind in KINDS[task or "classification"]]
        if task is None:
            return found or list(self.kinds)
        if not found:
            known = ", ".join(KINDS[task])
            raise ConfigError(f"model.kinds: {', '.join(self.kinds)} cannot learn a {task}; choose from {known}.")
        return found

    def check_data(self, task: str, shape: tuple[int, ...]) -> None:
        """Refuse a task that no kind learns, and statistics of inputs ``shape`` that have no time axis.

        Raises:
            ConfigError: names the key, what it got and what to do.
        """
        self.learning(task)
        if self.features == "statistics" and len(shape) != 2:
            raise ConfigError(
                f"model.features: statistics need inputs (channels, time), these are {shape}; choose raw or auto."
            )
        if self.features != "raw" and len(shape) == 2 and shape[1] < 2 * self.windows:
            raise ConfigError(
                f"model.windows: {shape[1]} samples make at most {shape[1] // 2} windows of 2, got {self.windows}; "
                "lower it or choose model.features=raw."
            )


def _check_names(key: str, names: list[str], known: tuple[str, ...]) -> None:
    for index, name in enumerate(names):
        if name not in known:
            raise ConfigError(f"{key}[{index}]: unknown '{name}'.{nearest(name, known)}")
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"{key}: name at least one, each once; got {list(names)}.")


MODELS.register("forest", ForestConfig, "bitq.trees.grow:grow")
