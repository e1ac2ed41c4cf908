"""Every script in examples/ runs as it stands; the two with networks alone are run by other tests."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
OTHERS = {"my_model", "networks"}  # tests/integration/test_run.py, tests/property/test_networks.py


CALLS = [*sorted({path.stem for path in FOLDER.glob("*.py")} - OTHERS), "checkpoint pt"]


@pytest.mark.parametrize("call", CALLS)
def test_an_example_ends_with_c_that_is_right(call, tmp_path):
    name, *more = call.split()
    command = [sys.executable, FOLDER / f"{name}.py", tmp_path / "deploy", *more]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(told.stdout.split("right on ")[1].split(" %")[0]) > 85
    assert (tmp_path / "deploy" / "model.c").is_file()
