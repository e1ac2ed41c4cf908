"""Runs of the real command line, in folders of their own, without recordings unless a test asks for them."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass
class Ran:
    """One finished command."""

    code: int
    out: str
    err: str

    @property
    def result(self):
        """result.json, whose path is the last line printed."""
        return json.loads(Path(self.out.strip().splitlines()[-1]).read_text())


class CommandLine:
    """Calls ``python -m bitq.run`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.environment.pop("BITQ_DATA", None)

    def start(self, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "bitq.run", *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *arguments: str) -> Ran:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=280)
        return Ran(process.returncode, out, err)


@pytest.fixture
def bitq(tmp_path):
    return CommandLine(tmp_path)


@pytest.fixture(scope="module")
def bitq_shared(tmp_path_factory):
    return CommandLine(tmp_path_factory.mktemp("run"))
