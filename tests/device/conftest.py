import importlib.util

import pytest

from bitq.core.files import write_text


@pytest.fixture
def unicorn():
    if importlib.util.find_spec("unicorn") is None:
        pytest.skip("unicorn is not installed: pip install 'bitq[emulator]'")


@pytest.fixture
def fake_tool(tmp_path, monkeypatch):
    """Put a program of a given name and shell text first on the PATH."""

    def make(name, text):
        path = tmp_path / "bin" / name
        write_text(path, f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
        return path

    return make
