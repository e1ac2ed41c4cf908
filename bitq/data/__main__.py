"""``python -m bitq.data``: list the datasets, fetch one that is public, or check one that is there.

It composes the one config of ``conf/data`` that is named, so that addresses and checksums stand there alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bitq
from bitq.core.errors import BitqError, ConfigError, DataError
from bitq.core.fields import validate
from bitq.data.config import DATASETS, MnistConfig
from bitq.data.root import data_root


def compose(name: str, overrides: Sequence[str] = ()) -> Any:
    """Return the typed config of one dataset from ``conf/data/NAME.yaml``.

    Args:
        name: a registry key.
        overrides: in Hydra's grammar, as in ``data.limit=100``.

    Raises:
        ConfigError: the name or an override is unknown or of the wrong type.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for key in DATASETS:
        ConfigStore.instance().store(group="data/schema", name=key, node=DATASETS[key].config)
    DATASETS[name]  # an unknown name is refused with our own words
    package = Path(bitq.__file__).resolve().parent
    folder = next((path for path in (package / "conf", package.parent / "conf") if path.is_dir()), package)
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(folder)):
            return OmegaConf.to_object(hydra_compose(overrides=[f"+data={name}", *overrides]).data)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(f"{error} {error.__cause__ or ''}".split())) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bitq.data", description=_first_line(__doc__))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the datasets")
    for command, text in (("get", "fetch the files of a public dataset"), ("check", "read one and count its rows")):
        sub = commands.add_parser(command, help=text)
        sub.add_argument("name")
        sub.add_argument("overrides", nargs="*", help="as in data.root=FOLDER")
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            _list()
        elif options.command == "get":
            _get(options.name, options.overrides)
        else:
            _check(options.name, options.overrides)
    except BitqError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n")[0].replace("``", "")


def _list() -> None:
    for key in DATASETS:
        summary = _first_line(DATASETS[key].config.__doc__)
        _say(f"{key:12s} {summary}")
    _say(f"data folder  {data_root(None, must_exist=False)}")


def _get(name: str, overrides: Sequence[str]) -> None:
    from bitq.data.download import fetch

    config = compose(name, overrides)
    validate(config, "data")
    if not isinstance(config, MnistConfig) or not config.files:
        raise DataError(f"{name}: there is nothing to fetch for it; only mnist comes from a public address.")
    folder = data_root(config.root, must_exist=False) / name
    for file in config.files:
        _say(f"\r{fetch(file, folder, _progress)}  {file.size_bytes:,} bytes, verified")


def _check(name: str, overrides: Sequence[str]) -> None:
    from bitq.data.load import load

    dataset = load(compose(name, overrides))
    _say(f"{name}: {dataset.source}, licence: {dataset.license}, {len(dataset.classes)} classes, {dataset.metric}")
    for part in ("train", "val", "test"):
        split = getattr(dataset, part)
        counts = ", ".join(
            f"{label} {int((split.y == place).sum()):,}" for place, label in enumerate(dataset.classes)
        )
        _say(f"  {part:5s} {len(split):8,} rows: {counts}")
    for note in dataset.notes:
        _say(f"  note: {note}")
    _say(f"  digest {dataset.digest()}")


def _progress(name: str, have: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{name} {100 * have // total:3d} %")
        sys.stderr.flush()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
