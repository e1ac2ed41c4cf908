import contextlib
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.core import files
from bitq.core.errors import BitqError


@contextlib.contextmanager
def limit(size):
    """Let this process write files of ``size`` bytes at most; only inside the block, or pytest's own output fails."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_whatever_size_the_disk_takes_a_file_is_old_or_new(tmp_path):
    path, old, new = tmp_path / "a.bin", b"old" * 10, bytes(range(256)) * 4
    files.write_bytes(path, old)
    for size in [*range(0, len(new), 97), len(new) - 1]:
        refused = pytest.raises(BitqError, match=r"cannot write .*a\.bin \(1024 bytes\).*previous file.*intact")
        with refused, limit(size):
            files.write_bytes(path, new)
        assert path.read_bytes() == old
        assert list(tmp_path.iterdir()) == [path]
    with limit(len(new)):
        files.write_bytes(path, new)
    assert path.read_bytes() == new


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_text(path, "old")

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_and_links_replaced_not_followed(tmp_path):
    path = tmp_path / "x" / "y" / "ä b.txt"
    files.write_text(path, "grüß\n")
    assert path.read_bytes() == "grüß\n".encode()
    other = tmp_path / "other"
    other.write_text("untouched")
    link = tmp_path / "link"
    link.symlink_to(other)
    files.write_text(link, "new")
    assert other.read_text() == "untouched"
    assert link.read_text() == "new"


@pytest.mark.parametrize("name", ["file/a", "n" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(BitqError, match="cannot write"):
        files.write_bytes(tmp_path / name, b"")
    with pytest.raises(BitqError, match="cannot write"), files.locked(tmp_path / name):
        pass


def test_json_keeps_its_order_and_refuses_what_is_no_json(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, 2.5], "a": None})
    assert list(json.loads(path.read_text())) == ["b", "a"]
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            files.write_json(path, {"a": bad})
    assert list(json.loads(path.read_text())) == ["b", "a"]


@given(st.binary(max_size=5000))
def test_checksums_are_sha256(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "sum"
    path.write_bytes(content)
    assert files.sha256_file(path) == files.sha256_bytes(content) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["a", "a/b.txt", "./a", "a/../b", "ä b"])
def test_names_inside_a_folder_are_given_back(tmp_path, name):
    assert files.inside(tmp_path, name) == (tmp_path / name).resolve()


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "out/a", "outside"])
def test_names_that_lead_out_are_refused(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "outside").symlink_to("/etc/passwd")
    with pytest.raises(BitqError, match="leads outside"):
        files.inside(folder, name)


def test_a_folder_beside_with_the_same_beginning_is_outside(tmp_path):
    with pytest.raises(BitqError, match="leads outside"):
        files.inside(tmp_path / "run", "../run2/a")


HOLD = """
import sys, time
from pathlib import Path
from bitq.core.files import locked
with locked(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_a_lock_is_held_by_one_and_free_when_its_owner_is_killed(tmp_path):
    path = tmp_path / "new" / "lock"
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert owner.stdout.readline() == b"True\n"
    with files.locked(path) as mine:
        assert not mine
    owner.kill()
    owner.wait()
    owner.stdout.close()
    with files.locked(path) as mine, files.locked(path) as again:
        assert (mine, again) == (True, False)
    with files.locked(path) as mine:
        assert mine
    assert Path(path).exists()
