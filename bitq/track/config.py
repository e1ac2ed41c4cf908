"""The configs of the trackers and the registry that joins them to their code; nothing heavy is imported.

``track=none`` runs the same commands without MLflow: result.json, figures and the table are written all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bitq.core.errors import ConfigError
from bitq.core.registry import Registry

if TYPE_CHECKING:
    from bitq.track.tracker import Tracker


@dataclass
class MlflowConfig:
    """Runs go to MLflow.

    Attributes:
        folder: holds ``mlflow.db``, ``artifacts/`` and ``locks/``; relative to the working directory. Where the
            environment sets ``MLFLOW_TRACKING_URI``, runs go there and only the locks stay here.
    """

    name: str = "mlflow"
    folder: str = "mlruns"

    def check(self, path: str) -> None:
        """Refuse an address where a folder belongs."""
        if not self.folder or ":" in self.folder:
            raise ConfigError(
                f"{path}.folder: must be a folder, got '{self.folder}'; "
                "set MLFLOW_TRACKING_URI to log to a server or to another database."
            )


@dataclass
class NoTrackConfig:
    """No tracking; ``folder`` is unused and there so that both choices have the same fields."""

    name: str = "none"
    folder: str = "mlruns"


TRACKERS: Registry[Tracker] = Registry("tracker")
TRACKERS.register("mlflow", MlflowConfig, "bitq.track.client:MlflowTracker")
TRACKERS.register("none", NoTrackConfig, "bitq.track.tracker:no_tracker")
