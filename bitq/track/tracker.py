"""What a tracker offers: one study per command, with its variants, trials and its end.

The classes here do nothing, which is what ``track=none`` means; `bitq.track.client` fills them with MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from bitq.track.result import Status, VariantResult

History = list[dict[str, float]]
"""Curves of one seed: one mapping from metric name to value per epoch, first epoch first."""

TrialState = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Link:
    """Where to look at a study: the command that starts the user interface, and the page in it."""

    command: str
    url: str


class Study:
    """One command's runs; a context manager, so that a study always ends as something."""

    @property
    def link(self) -> Link | None:
        """Return where to look at the study, or None where there is nothing to look at."""
        return None

    def variant(
        self,
        name: str,
        result: VariantResult,
        histories: Sequence[History] = (),
        seeds: Sequence[int] = (),
        folder: Path | None = None,
        figures: Sequence[Path] = (),
    ) -> None:
        """Log one variant: a run with its summary and its C, and below it one run per seed with its curves.

        Args:
            name: of the variant.
            result: what was measured.
            histories: curves per seed, in the order of ``seeds``.
            seeds: one per repeat, in the order of ``result.metric.per_seed``.
            folder: the deploy folder.
            figures: image files.
        """

    def trial(
        self,
        number: int,
        params: Mapping[str, object],
        value: float | None,
        state: TrialState,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Log one trial of a search as a run of its own.

        Args:
            number: of the trial, from 0.
            params: what the search chose.
            value: the objective; None where there is none.
            state: how it ended.
            metrics: further numbers, by name.
        """

    def finish(self, status: Status, result_path: Path | None = None, figures: Sequence[Path] = ()) -> None:
        """Close the study with result.json and the figures over all variants.

        Args:
            status: how the command ended.
            result_path: result.json.
            figures: image files.
        """

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Tracker:
    """Opens studies."""

    def study(self, experiment: str, study: str, *, command: str, config_yaml: str, fingerprint: str) -> Study:
        """Begin the study of one command.

        Args:
            experiment: name that gathers comparable studies.
            study: unique id of this command's run.
            command: what the user typed.
            config_yaml: the composed configuration.
            fingerprint: checksum of configuration and data.
        """
        del experiment, study, command, config_yaml, fingerprint
        return Study()


def no_tracker(config: Any) -> Tracker:
    """Return the tracker that keeps nothing."""
    del config
    return Tracker()
