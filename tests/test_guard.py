"""A configuration file cannot make Hydra run code, wherever it lies and however it is named on the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from bitq.config import conf_dir
from bitq.core.errors import ConfigError
from bitq.guard import config_folders, refuse_code

EVIL = "hydra:\n  callbacks:\n    x:\n      _target_: builtins.open\n      file: {flag}\n      mode: w\n"


def test_our_own_files_pass():
    refuse_code(conf_dir(), [conf_dir()])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:\n  b:\n  - _target_: os.system\n", ":3: '_target_'"),
        ("hydra:\n  run:\n    dir: x\n", ":1: only conf/config.yaml"),
        ("x: 1\nhydra.callbacks: {}\n", ":2: only conf/config.yaml"),
        ("# @package hydra.callbacks.x\na: 1\n", "@package hydra"),
        ("? {_target_: x}\n: 1\n", "_target_"),
        ("a: &a {_target_: x}\nb: *a\n", "_target_"),
        ("a: [1\n", "not a YAML file"),
        (b"\xff\xfe", "not a YAML file in UTF-8"),
        ("a: " + "x" * 1_000_001, "1,000,000 at most"),
    ],
)
def test_files_that_name_code_or_configure_hydra_are_refused(tmp_path, text, told):
    path = tmp_path / "experiment" / "evil.yaml"
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=r"evil\.yaml") as refused:
        refuse_code(conf_dir(), [tmp_path])
    assert told in str(refused.value)


def test_an_alias_bomb_is_read_in_no_time(tmp_path):
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    refuse_code(conf_dir(), [tmp_path])


def test_every_way_to_name_a_folder_is_seen():
    arguments = ["--config-dir", "/a", "-cd=/b", "hydra.searchpath=[file:///c,/d]", "+hydra.searchpath=['/e']"]
    assert [str(f) for f in config_folders(Path("/o"), arguments)] == ["/o", "/a", "/b", "/c", "/d", "/e"]


@pytest.mark.parametrize("how", [["--config-dir", "{0}"], ["hydra.searchpath=[file://{0}]"]])
def test_the_command_line_refuses_before_hydra_acts(tmp_path, how):
    flag = tmp_path / "flag"
    place = tmp_path / "more" / "experiment"
    place.mkdir(parents=True)
    (place / "evil.yaml").write_text("# @package _global_\n" + EVIL.format(flag=flag))
    arguments = [part.format(place.parent) for part in how]
    command = [sys.executable, "-m", "bitq.run", *arguments, "experiment=evil", "dry_run=true", "track=none"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "evil.yaml" in ran.stderr
    assert not flag.exists()
