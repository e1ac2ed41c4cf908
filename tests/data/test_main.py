from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.data.__main__ import compose, main
from bitq.data.config import DATASETS


@pytest.mark.parametrize("name", list(DATASETS))
def test_every_dataset_has_a_config_file(name: str) -> None:
    config = compose(name)
    assert type(config) is DATASETS[name].config
    assert config.name == name
    assert callable(DATASETS[name].load())
    if name != "arrays":  # which cannot know its path
        validate(config, "data")


def test_mnist_names_four_verified_files() -> None:
    files = compose("mnist").files
    assert len({file.name for file in files}) == len({file.sha256 for file in files}) == 4
    assert all(file.url.startswith("https://") and file.url.endswith(file.name) for file in files)


def test_overrides_are_typed() -> None:
    assert compose("mnist", ["data.limit=50"]).limit == 50
    with pytest.raises(ConfigError, match=r"data\.corporx"):
        compose("face2wake", ["data.corporx=[a]"])
    with pytest.raises(ConfigError, match="'abc'"):
        compose("mnist", ["data.limit=abc"])
    with pytest.raises(ConfigError, match="Did you mean 'mnist'"):
        compose("mnst")


def test_check_counts_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "digits"]) == 0
    output = capsys.readouterr().out
    assert "1,078 rows" in output
    assert "digest" in output


def test_errors_are_one_line_with_their_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "mnist", f"data.root={tmp_path}"]) == 3
    assert main(["get", "digits"]) == 3
    assert main(["check", "nothing"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)


def test_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in DATASETS)
    assert "`" not in output


def test_configs_import_nothing_heavy() -> None:
    code = (
        "import sys, bitq.data.config\n"
        "print([name for name in ('torch', 'sklearn', 'mlflow', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
