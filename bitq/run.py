"""The command line: compose, validate, call the stages in order.

python -m bitq.run +experiment=face2wake
"""

from __future__ import annotations

from bitq.config import ExperimentConfig


def run(config: ExperimentConfig, text: str) -> dict[str, float]:
    """Run an experiment from data to verified firmware and a tracked record.

    Args:
        config: checked.
        text: its YAML, for the record.

    Returns:
        The mean metric on validation of every variant, for a sweeper.

    Raises:
        BitqError: with the exit code of what went wrong.
    """
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from bitq import pictures, stages, sweep
    from bitq.data.load import load
    from bitq.record import recording
    from bitq.rehearsal import check_variants
    from bitq.track import stale
    from bitq.track.config import TRACKERS
    from bitq.track.table import print_end, say

    for line in stale.sweep(Path(config.track.folder), Path("outputs")):
        say(line)
    folder = Path(HydraConfig.get().runtime.output_dir)
    with recording(folder, config, text) as record:
        data = load(config.data)
        record.describe(data)
        check_variants(config, data)
        stages.announce(config, data)
        if config.dry_run:
            return {}
        tracker = TRACKERS.create(config.track)
        with tracker.study(
            config.experiment,
            record.study,
            command=record.result.command,
            config_yaml=text,
            fingerprint=record.result.fingerprint,
        ) as study:
            drawn: list[Path] = []
            if config.search is not None:
                found = sweep.search(config, data, folder, study, list(HydraConfig.get().overrides.task))
                config, drawn = found.config, found.figures
            runs = stages.train(config, data, folder)
            delivered = stages.deliver(config, data, runs, folder)
            results = stages.summarize(data, runs, delivered, folder, config.target.core.display)
            record.result.variants = results
            for name, result in results.items():
                histories = [trained.history for trained in runs[name]]
                figures = pictures.of_variant(folder, name, data, runs)
                deploy = Path(result.deploy) if result.deploy else None
                study.variant(name, result, histories, config.seeds, deploy, figures)
            drawn += pictures.of_run(folder, runs, results, data.metric)
            failures = stages.failures(delivered)
            record.save("failed" if failures else "finished")
            study.finish(record.result.status, record.path, drawn)
            print_end(record.result, record.path, study.link, notes=data.notes)
        stages.refuse(failures)
        return {name: r.metric_validation.mean for name, r in results.items() if r.metric_validation is not None}


if __name__ == "__main__":
    from bitq.cli import main

    raise SystemExit(main(run))
