"""The study of methods: its cells, what it keeps, and that it goes on where it stopped."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bitq.core import files
from bitq.core.errors import ConfigError
from pipelines import methods

ROOT = Path(__file__).parents[2]


def run(folder, *arguments):
    command = [sys.executable, "-m", "pipelines.methods", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_study_trains_what_is_missing_and_reports_every_seed(tmp_path):
    arguments = ("net=digits", "method=ste_msqe", "bits=float,1")
    first = run(tmp_path, *arguments, "seeds=1")
    assert first.returncode == 0, first.stderr
    assert "2 cells, 0 known, 2 to train" in first.stdout
    second = run(tmp_path, *arguments, "seeds=2")
    assert "4 cells, 2 known, 2 to train" in second.stdout
    with (tmp_path / methods.FOLDER / "methods.csv").open() as stream:
        table = {(row["bits"], row["method"]): row for row in csv.DictReader(stream)}
    assert set(table) == {("float", "-"), ("1", "ste_msqe")}
    low_bit = table["1", "ste_msqe"]
    assert low_bit["seeds"] == "2"
    assert float(low_bit["worst_pct"]) > 80
    assert float(low_bit["flips_last_tenth_pct"]) == 0
    assert float(low_bit["rounding_loss_points"]) == 0
    assert float(low_bit["converged_pct"]) == 100
    assert float(low_bit["worst_drop_points"]) >= float(low_bit["drop_points"])
    assert float(low_bit["drop_points"]) == pytest.approx(
        float(table["float", "-"]["mean_pct"]) - float(low_bit["mean_pct"]), abs=2e-3
    )
    assert (tmp_path / methods.FOLDER / "digits.png").stat().st_size > 5000


def test_cells_without_a_method_come_once():
    cells = methods.cells_of(["digits"], ["a", "b"], ["float", "8", "1"], 2)
    kinds = {(cell.method, cell.bits) for cell in cells}
    assert kinds == {("-", "float"), ("-", "8"), ("a", "1"), ("b", "1")}
    assert len(cells) == len({cell.path for cell in cells}) == 8


def test_a_kept_cell_of_another_configuration_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "FOLDER", tmp_path)
    cell = methods.Cell("digits", "hq", "1", 0)
    assert methods.known(cell) is None
    result = methods.Result(methods.config_of(cell).fingerprint(), 0.9, 0.9, 0.9, 0.9, 0.0, 0.0, 1.0, 984, 1.0)
    files.write_json(cell.path, vars(result))
    assert methods.known(cell) == result
    files.write_json(cell.path, vars(replace(result, fingerprint="other")))
    assert methods.known(cell) is None


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("nets=digits", "Did you mean 'net'"),
        ("net=digit", "Did you mean 'digits'"),
        ("bits=7", "not known"),
        ("seeds=x", "x"),
    ],
)
def test_wrong_arguments_are_refused_with_the_nearest(argument, told):
    with pytest.raises(ConfigError, match=told):
        methods._choices([argument])


def test_one_bit_in_some_matrices_and_eight_in_the_others():
    cell = methods.Cell("digits", "hq", "1@fc1*+head*", 0)
    config = methods.config_of(cell)
    assert config.variants["hq_1_in_fc1_head"].policy == {"*": "int8", "fc1*": "bipolar", "head*": "bipolar"}
    assert config.variants["float"].training == "float"
    assert cell.path.parent.name == "hq-1_in_fc1_head"
