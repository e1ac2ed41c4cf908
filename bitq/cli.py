"""From the command line to a checked configuration, and from an outcome to an exit code.

Hydra composes; its errors become one or two lines that name the nearest right key or value.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bitq.config import GROUPS, SCHEMA_ONLY, ExperimentConfig, conf_dir, store_schemas, to_experiment
from bitq.core import plugins
from bitq.core.errors import BitqError, ConfigError, nearest
from bitq.core.fields import field_names
from bitq.core.processes import Interrupted
from bitq.guard import config_folders, refuse_code

_USAGE = """bitq: train networks with 1-bit weights and ship them as exact integer C.

  python -m bitq.run +experiment=face2wake             wrist recordings to verified firmware
  python -m bitq.run +experiment=digits debug=smoke    everything once, in seconds, without any files
  python -m bitq.run +experiment=mnist +search=lambda_bits search.n_trials=20

Choose with group=name, set any value with key=value, try combinations with -m and commas (-m quant=hq,ste_msqe).

{groups}

  --cfg job             show the composed configuration and every key
  dry_run=true          compose, check, read the data, and stop
  plugin=FILE.py        register your own networks and datasets
  +from_trial=STUDY/N   train and deliver one trial of a search (mlruns/sweeps/STUDY)
  traceback=true        show where an error came from
"""

OPTIONAL = {"experiment", "search", "debug"}
"""Groups of which a run may choose nothing."""

Task = Callable[[ExperimentConfig, str], Any]
"""Gets the configuration and its YAML text; what it returns is for the sweeper of a multirun."""


def main(task: Task) -> int:
    """Run a task on the configuration of the command line.

    Args:
        task: called once, or once per job of a multirun.

    Returns:
        The exit code: 0 done, 2 bad configuration, 3 data, 4 training, 5 firmware, 130 or 143 interrupted.
    """
    show_traceback = "traceback=true" in sys.argv
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing them
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(usage())  # noqa: T201
        return 0
    try:
        sys.argv[1:] = _prepare(sys.argv[1:])
        refuse_code(conf_dir(), config_folders(conf_dir(), sys.argv[1:]))
        store_schemas()
        _hydra_main(task)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except Interrupted as signalled:
        return _fail(f"ended by {signalled}.", 128 + signalled.number)
    except BitqError as error:
        if show_traceback:
            traceback.print_exc()
        return _fail(str(error), error.exit_code)
    except (HydraException, OmegaConfBaseException) as error:
        if show_traceback:
            traceback.print_exc()
        return _fail(explain(error), ConfigError.exit_code)
    return 0


def usage() -> str:
    """Return the help text: how to call it, and every choice of every group."""
    groups = ["experiment", *GROUPS, "debug"]
    lines = [
        textwrap.fill(", ".join(choices(group)), 110, initial_indent=f"  {group:<11} ", subsequent_indent=" " * 14)
        for group in groups
    ]
    return _USAGE.format(groups="\n".join(lines))


def explain(error: Exception) -> str:
    """Return one or two lines for an error of Hydra or OmegaConf, with the nearest right name where there is one."""
    if isinstance(error, OverrideParseException):
        return (
            f"'{error.override}' cannot be read as KEY=VALUE; a value with = , : {{ }} [ ] ( ) that is no list "
            "or mapping takes quotes of its own, as in 'data.path=\"a=b.npz\"'."
        )
    chain = [str(e) for e in (error, error.__cause__) if e is not None]
    text = "\n".join(chain)
    key = re.search(r"full_key: (\S+)", text) or re.search(r"Could not override '([^']+)'", text)
    if key and "not in" in text:
        return _unknown_key(key.group(1))
    if match := re.search(r"Could not (?:find|override|append)[^']*'(\w+)/([^']+)'", text):
        group, name = match.groups()
        return f"{group}={name}: there is no such choice.{nearest(name, choices(group))}"
    lines = [line.strip() for line in chain[-1].splitlines()]
    told = " ".join(line for line in lines if line and not line.startswith(("object_type", "full_key", "reference")))
    return f"{key.group(1)}: {told}" if key else told


def _unknown_key(key: str) -> str:
    known = known_keys()
    if key in known:
        group = key.partition(".")[0]
        return f"{key}: the chosen {group} has no such field; see `--cfg job` for what it has."
    if key.startswith("variants."):
        return f"'{key}' does not exist yet; add it with '+' in front, or '++' to change a whole policy."
    prefix, _, leaf = key.rpartition(".")
    groups = [k for k in known if "." not in k]
    siblings = [k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == prefix]
    elsewhere = [k for k in known if k.rpartition(".")[2] == leaf]
    return (
        f"unknown key '{key}'.{nearest(elsewhere[0], elsewhere) if elsewhere else nearest(leaf, siblings or groups)}"
    )


def choices(group: str) -> list[str]:
    """Return the names that a config group offers."""
    registered = set(GROUPS[group]) if group in GROUPS else set[str]()
    return sorted(registered - SCHEMA_ONLY | {path.stem for path in (conf_dir() / group).glob("*.yaml")})


def known_keys() -> list[str]:
    """Return the full key of every field that a configuration can have."""
    keys = list(field_names(ExperimentConfig))
    for group, registry in GROUPS.items():
        keys += [f"{group}.{key}" for name in registry for key in field_names(registry[name].config)]
    return sorted(set(keys))


def _hydra_main(task: Task) -> None:
    # Up to 1.3 the version base has to be given, from 1.4 on it must not.
    base: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__.startswith("1.3") else {}

    # Hydra finds sweepers in the package `hydra_plugins` only.
    sys.path.append(str(Path(__file__).parent / "search" / "plugins"))
    failures: list[BitqError] = []
    folders: list[Path] = []

    @hydra.main(config_path=str(conf_dir()), config_name="config", **base)
    def composed(config: DictConfig) -> Any:
        folders.append(Path(HydraConfig.get().runtime.output_dir))
        result = None
        try:
            result = task(to_experiment(config), OmegaConf.to_yaml(config))
        except BitqError as error:  # kept from Hydra, which would print its own lines
            failures.append(error)
        except OmegaConfBaseException as error:
            failures.append(ConfigError(explain(error)))
        _remove_empty(folders[-1])
        return result

    try:
        composed()
    except OSError as error:
        if folders or isinstance(error, HydraException):
            raise
        raise ConfigError(
            f"cannot make the run folder {error.filename}: {error.strerror}; start in a folder "
            "that can be written, or set hydra.run.dir."
        ) from error
    if failures and "hydra/sweeper=bitq" not in sys.argv:  # which goes on, and judges itself
        raise failures[0]


def _remove_empty(folder: Path) -> None:
    """Remove the run folder that Hydra made if nothing was written into it, and what of its path is empty then."""
    here = Path.cwd()
    places = [folder, *(parent for parent in folder.parents if here in parent.parents)]
    with contextlib.suppress(OSError):
        for place in places:
            place.rmdir()


def _prepare(arguments: list[str]) -> list[str]:
    """Load plugins, spell out ``+from_trial=``, and accept ``+experiment=`` beside the form without plus."""
    result: list[str] = []
    for argument in arguments:
        if "_target_" in argument:
            raise ConfigError(f"{argument}: '_target_' names code, which no configuration may; see plugin=FILE.py.")
        if argument.startswith("plugin="):
            plugins.load(Path(argument.removeprefix("plugin=")))
        elif argument.startswith(("+from_trial=", "from_trial=")):
            result += trial_overrides(argument.partition("=")[2], arguments)
        else:
            result.append(argument[argument.startswith(("+experiment=", "+search=", "+debug=")) :])
    return _without_nothing(result)


def _without_nothing(arguments: list[str]) -> list[str]:
    """Take ``GROUP=null``, which Hydra's grammar does not know, as nothing chosen."""
    none = {argument.partition("=")[0] for argument in arguments if argument.endswith("=null")}
    for group in none & GROUPS.keys() - OPTIONAL:
        raise ConfigError(f"{group}=null: a run needs one; choose {', '.join(choices(group))}.")
    return [argument for argument in arguments if argument.partition("=")[0] not in none & OPTIONAL]


def trial_overrides(name: str, arguments: list[str]) -> list[str]:
    """Return the command line that one trial of a study stands for; what the user gives beside it comes on top.

    Args:
        name: ``STUDY/NUMBER``.
        arguments: of the command line, which may name another tracking folder.

    Raises:
        ConfigError: there is no such trial.
    """
    folders = [a.partition("=")[2] for a in arguments if a.startswith("track.folder=")]
    sweeps = Path(folders[-1] if folders else "mlruns") / "sweeps"
    study, _, number = name.rpartition("/")
    path = sweeps / study / "trials" / f"{number}.json"
    if not path.is_file() or path.resolve().parents[2] != sweeps.resolve():
        known = sorted(f"{p.parents[1].name}/{p.stem}" for p in sweeps.glob("*/trials/*.json"))
        raise ConfigError(f"from_trial={name}: {path} does not exist.{nearest(name, known[:50])}")
    return [str(override) for override in json.loads(path.read_text())["overrides"]]


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted(number)


def _fail(message: str, code: int) -> int:
    print(f"bitq: {message}", file=sys.stderr, flush=True)  # noqa: T201
    return code
