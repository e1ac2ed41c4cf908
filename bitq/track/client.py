"""Studies in MLflow: one summary run per command, one run per variant, and below it one run per seed.

One process writes, in batches, after the work of a variant is done; each live study holds a lock file, so that
a later command can tell a study that runs from one that was killed (`bitq.track.stale`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from bitq.core import files, processes
from bitq.core.errors import BitqError
from bitq.core.metrics import with_unit
from bitq.track import links, note, store
from bitq.track.batch import now_ms, write_run
from bitq.track.config import MlflowConfig
from bitq.track.names import artifact
from bitq.track.result import Status, VariantResult
from bitq.track.tracker import History, Link, Study, Tracker, TrialState

ENDED = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "pruned": "KILLED"}
TRIAL_ENDED = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class MlflowTracker(Tracker):
    """Opens studies in the MLflow store that the config names."""

    def __init__(self, config: MlflowConfig) -> None:
        self.config = config

    def study(self, experiment: str, study: str, *, command: str, config_yaml: str, fingerprint: str) -> MlflowStudy:
        """Begin a study: its summary run is there, as running, when this returns.

        Raises:
            BitqError: the store cannot be used, or a study of this id is still running.
        """
        return MlflowStudy(Path(self.config.folder), experiment, study, command, config_yaml, fingerprint)


class MlflowStudy(Study):
    """One command's runs in MLflow."""

    def __init__(
        self, folder: Path, experiment: str, study: str, command: str, config_yaml: str, fingerprint: str
    ) -> None:
        self._client = store.open_client(folder)
        self._folder, self._uri, self._study = folder, store.address(folder), study
        self._command = command
        self._variants: dict[str, VariantResult] = {}
        self._open: list[str] = []
        lock = files.inside(folder / "locks", f"{study}.lock")
        with contextlib.ExitStack() as stack:
            stack.enter_context(store.held(lock, f"study {study} is running in another process", 5))
            stack.callback(lock.unlink, missing_ok=True)
            owner = {"study": study, "process": os.getpid(), "store": store.mark(folder)}
            lock.write_text(json.dumps(owner))
            with self._writing("creating the study"):
                self._experiment = store.experiment_id(self._client, folder, experiment)
                self._tags = {
                    "bitq.study": study,
                    "bitq.fingerprint": fingerprint,
                    "mlflow.source.name": "bitq",
                    "mlflow.source.type": "LOCAL",
                    **_git(),
                }
                self._run = self._begin(f"study {study}", {"bitq.kind": "study", "bitq.command": command})
                self._client.log_text(self._run, config_yaml, "config.yaml")
                checksum = files.sha256_bytes(config_yaml.encode())
                write_run(self._client, self._run, params={"config_sha256": checksum})
            self._stack = stack.pop_all()

    @property
    def link(self) -> Link:
        """Return where to look at the study."""
        command = "python -m bitq.ui"
        if self._folder != Path(MlflowConfig.folder):
            command += f" --folder {self._folder}"
        if store.owned(self._folder):
            command += f"   (or: mlflow ui --backend-store-uri sqlite:///{store.database(self._folder)})"
        view = links.TRADE if self._variants else ""
        return Link(command, links.runs_page(self._experiment, view))

    def variant(
        self,
        name: str,
        result: VariantResult,
        histories: Sequence[History] = (),
        seeds: Sequence[int] = (),
        folder: Path | None = None,
        figures: Sequence[Path] = (),
    ) -> None:
        """Log one variant; see `Study.variant`."""
        seeds = seeds or range(len(result.metric.per_seed))
        with self._writing(f"logging variant {name}"):
            flash = next((f" · {t.flash_bytes:,} B" for t in result.targets.values()), "")
            title = f"{name} · {with_unit(result.metric.name, result.metric.mean, 1)}{flash}"
            parent = self._begin(title, {"bitq.kind": "config", "bitq.variant": name})
            for index, seed in enumerate(seeds[: len(result.metric.per_seed)]):
                self._repeat(parent, name, result, index, seed, histories[index] if index < len(histories) else [])
            params = {
                "variant": name,
                "kind": result.kind,
                "seeds": ", ".join(map(str, seeds)),
                "deployed_seed": result.deployed_seed,
                "exact": {None: "n/a", True: "yes", False: "no"}[result.exact],
                **{f"bits/{matrix}": bits for matrix, bits in result.bits.items()},
                **{f"compiler/{on}": f"{t.compiler} {t.flags}" for on, t in result.targets.items()},
            }
            tags = {"mlflow.note.content": note.variant_note(name, result, seeds)}
            write_run(self._client, parent, _summary(result), params, tags)
            if folder is not None:
                self._client.log_artifacts(parent, str(folder), "deploy")
                for source in sorted([*folder.glob("*.c"), *folder.glob("*.h")]):
                    text = source.read_text(encoding="utf-8", errors="replace")
                    self._client.log_text(parent, text, artifact("c", f"{source.name}.txt"))
            self._figures(parent, figures)
            self._end(parent, "FINISHED")
            if not self._variants:
                for key, value in (v.tag(now_ms()) for v in links.views(result.metric.name)):
                    self._client.set_experiment_tag(self._experiment, key, value)
                self._client.set_experiment_tag(self._experiment, "mlflow.experimentKind", "custom_model_development")
            self._variants[name] = result

    def trial(
        self,
        number: int,
        params: Mapping[str, object],
        value: float | None,
        state: TrialState,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Log one trial; see `Study.trial`."""
        with self._writing(f"logging trial {number}"):
            title = f"trial {number}" + (f" · {value:.4g}" if value is not None else "")
            run = self._begin(title, {"bitq.kind": "trial", "bitq.trial": str(number), "bitq.state": state})
            objective = {} if value is None else {"objective": value}
            write_run(self._client, run, {**objective, **(metrics or {})}, params)
            self._end(run, TRIAL_ENDED[state])

    def finish(self, status: Status, result_path: Path | None = None, figures: Sequence[Path] = ()) -> None:
        """Close the study; see `Study.finish`."""
        if self._run not in self._open:
            return
        with self._writing("closing the study"):
            lines = [f"Command: `{self._command}`", "", "Artifacts: `config.yaml`, `result.json`, `figures/`."]
            tags = {
                "bitq.status": status,
                "mlflow.note.content": note.variants_note(self._variants, lines),
            }
            write_run(self._client, self._run, tags=tags)
            if result_path is not None and result_path.exists():
                self._client.log_artifact(self._run, str(result_path))
            self._figures(self._run, figures)
            for run in [run for run in self._open if run != self._run]:
                self._end(run, ENDED[status])
            self._end(self._run, ENDED[status])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what was not ended: failed, or interrupted where the program was asked to stop."""
        with self._stack:
            asked = kind is not None and not issubclass(kind, Exception)
            with contextlib.suppress(BitqError) if error is not None else contextlib.nullcontext():
                self.finish("interrupted" if asked else "failed")

    def _repeat(self, parent: str, name: str, result: VariantResult, index: int, seed: int, history: History) -> None:
        tags = {"bitq.kind": "repeat", "bitq.variant": name, "mlflow.parentRunId": parent}
        run = self._begin(f"{name} · seed {seed}", tags)
        final = {
            result.metric.name: result.metric.per_seed[index],
            f"{result.metric.name}.before_rounding": result.metric_before_rounding.per_seed[index],
        }
        params = {"variant": name, "kind": result.kind, "seed": seed}
        write_run(self._client, run, final, params, {}, history)
        self._end(run, "FINISHED")

    def _begin(self, title: str, tags: Mapping[str, str]) -> str:
        created = self._client.create_run(self._experiment, tags={**self._tags, **tags}, run_name=title)
        self._open.append(created.info.run_id)
        return created.info.run_id

    def _end(self, run: str, status: str) -> None:
        self._client.set_terminated(run, status)
        self._open.remove(run)

    def _figures(self, run: str, figures: Sequence[Path]) -> None:
        for figure in figures:
            self._client.log_artifact(run, str(figure), "figures")

    def _writing(self, doing: str) -> contextlib.AbstractContextManager[None]:
        return store.reported(self._uri, doing)


def _summary(result: VariantResult) -> dict[str, float | None]:
    metric = result.metric
    values: dict[str, float | None] = {
        metric.name: metric.mean,
        f"{metric.name}.std": metric.std,
        f"{metric.name}.worst": metric.worst,
        f"{metric.name}.before_rounding": result.metric_before_rounding.mean,
        "parameter_bytes": result.parameter_bytes,
    }
    values |= {f"convergence/{name}": value for name, value in result.convergence.items()}
    for index, (on, target) in enumerate(result.targets.items()):
        sizes = {
            "flash_bytes": target.flash_bytes,
            "ram_bytes": target.ram_bytes,
            "stack_bytes": target.stack_bytes,
            "instructions": target.instructions,
            "mismatches": target.mismatches,
        }
        values |= {f"{on}/{name}": value for name, value in sizes.items()}
        if index == 0:  # under a plain name too, so that charts and columns need not know the target
            values |= sizes
    return values


def _git() -> dict[str, str]:
    def ask(*arguments: str) -> str | None:
        git = processes.find_tool("git")
        with contextlib.suppress(BitqError):
            if git is not None:
                return processes.run_tool([git, *arguments], timeout_s=10).decode().strip()
        return None

    commit, changes = ask("rev-parse", "HEAD"), ask("status", "--porcelain", "--untracked-files=no")
    dirty = "unknown" if changes is None else str(bool(changes)).lower()
    return {"mlflow.source.git.commit": commit or "unknown", "bitq.dirty": dirty}
