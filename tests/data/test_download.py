from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bitq.core.errors import ConfigError, DataError
from bitq.core.fields import validate
from bitq.core.files import locked
from bitq.data.config import RemoteFile
from bitq.data.download import fetch

CONTENT = bytes(range(256)) * 1_000


@dataclass
class Server:
    """A file server with faults on demand; ``ranges`` holds the Range header of every request."""

    content: bytes = CONTENT
    port: int = 0
    ranges: list[str | None] = field(default_factory=list)
    knows_ranges: bool = True
    breaks_after: int | None = None
    redirect: str | None = None
    status: int = 200
    endless: bool = False

    def file(self, **changes: object) -> RemoteFile:
        url = f"http://127.0.0.1:{self.port}/a.bin"
        good = RemoteFile("a.bin", url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
        return replace(good, **changes)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            if state.redirect and self.path == "/a.bin":
                self.send_response(302)
                self.send_header("Location", state.redirect)
                self.end_headers()
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.knows_ranges else 0
            body = state.content[start:]
            self.send_response(206 if start else state.status)
            if start:
                total = len(state.content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if not state.endless:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body[: state.breaks_after])
                while state.endless:
                    self.wfile.write(bytes(65_536))
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()


def test_a_file_arrives_whole_and_only_once(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    path = fetch(server.file(), tmp_path / "new", lambda *now: seen.append(now))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("a.bin", len(CONTENT), len(CONTENT))
    assert [file.name for file in path.parent.iterdir() if not file.name.startswith(".")] == ["a.bin"]
    fetch(server.file(), tmp_path / "new")
    assert server.ranges == [None]


def test_a_half_file_is_completed(server: Server, tmp_path: Path) -> None:
    server.breaks_after = 100_000
    with pytest.raises(DataError, match=r"run the command again"):
        fetch(server.file(), tmp_path)
    assert not (tmp_path / "a.bin").exists()
    have = (tmp_path / "a.bin.part").stat().st_size
    assert 0 < have <= 100_000
    server.breaks_after = None
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={have}-"]
    assert not (tmp_path / "a.bin.part").exists()


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:777])
    server.knows_ranges = False
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT


def test_a_complete_part_needs_no_server(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == []


@pytest.mark.parametrize("part", [b"", b"wrong beginning", bytes(len(CONTENT) + 1)])
def test_another_file_is_refused_and_the_old_one_kept(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    (tmp_path / "a.bin.part").write_bytes(part)
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DataError, match=r"SHA-256 [0-9a-f]{64}\), expected SHA-256 [0-9a-f]{64}"):
        fetch(server.file(), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert not (tmp_path / "a.bin.part").exists()


@pytest.mark.parametrize("endless", [False, True])
def test_no_more_than_the_size_is_received(server: Server, tmp_path: Path, endless: bool) -> None:
    server.content, server.endless = CONTENT + b"surplus", endless
    most = 0

    def watch(name: str, have: int, total: int) -> None:
        nonlocal most
        most = max(most, (tmp_path / "a.bin.part").stat().st_size)

    with pytest.raises(DataError, match="more than 256,000 bytes"):
        fetch(server.file(), tmp_path, watch)
    assert most <= len(CONTENT) + 1
    assert not list(tmp_path.glob("a.bin*"))


def test_redirects_stay_on_the_host(server: Server, tmp_path: Path) -> None:
    server.redirect = f"http://127.0.0.1:{server.port}/b.bin"
    assert fetch(server.file(), tmp_path / "same").read_bytes() == CONTENT
    server.redirect = f"http://localhost:{server.port}/b.bin"
    with pytest.raises(DataError, match="redirect to another host refused"):
        fetch(server.file(), tmp_path / "other")


def test_server_errors_are_reported(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DataError, match=r"a\.bin: http.*cannot be fetched.*Not Found"):
        fetch(server.file(), tmp_path)
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch(server.file(url="http://127.0.0.1:1/a.bin"), tmp_path)


@pytest.mark.parametrize("url", ["http://example.org/a.bin", "file:///etc/passwd", "ftp://127.0.0.1/a", "a.bin"])
def test_other_schemes_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="by https only"):
        fetch(RemoteFile("a.bin", url, 1, "0" * 64), tmp_path)


def test_one_process_at_a_time(server: Server, tmp_path: Path) -> None:
    with locked(tmp_path / ".fetch.lock"), pytest.raises(DataError, match="another process"):
        fetch(server.file(), tmp_path)


@pytest.mark.parametrize(
    "changes", [{"name": "../a"}, {"name": "/a"}, {"name": ""}, {"sha256": "12"}, {"size_bytes": 0}]
)
def test_descriptions_are_checked(server: Server, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        validate(server.file(**changes), "data.files[0]")
