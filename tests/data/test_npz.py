from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bitq.core.errors import DataError
from bitq.data.npz import read_npz


def pack(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values)
    return stream.getvalue()


def test_sound_arrays_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    arrays = {
        "a": np.arange(6, dtype=">i4").reshape(2, 3),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "t": np.array(["x", "yz"]),
        "scalar": np.float64(2.5),
        "empty": np.empty((0, 3), np.int16),
    }
    np.savez_compressed(path, **arrays)
    found = read_npz(path)
    assert set(found) == set(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype.isnative
    assert set(read_npz(path, wanted=("t",))) == {"t"}


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{"a": 1}], object))
    with pytest.raises(DataError, match="'x' is of type object"):
        read_npz(path)


def test_a_header_that_declares_more_than_there_is_allocates_nothing(tmp_path: Path) -> None:
    content = npy(np.zeros(4, np.int64)).replace(b"(4,)", b"(9" + b"9" * 10 + b",)", 1)
    content = content.replace(b" " * 10 + b"\n", b"\n", 1)
    path = pack(tmp_path / "a.npz", [("x.npy", content)])
    with pytest.raises(DataError, match=r"'x' declares \(99999999999,\) int64, .* but holds 32"):
        read_npz(path)


def test_a_bomb_is_refused_by_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros(100_000, np.int8))
    monkeypatch.setattr("bitq.data.npz.MAX_BYTES", 50_000)
    with pytest.raises(DataError, match="unpacks to 100,128 bytes; at most 50,000"):
        read_npz(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_damage_is_refused(tmp_path: Path) -> None:
    good = npy(np.arange(1000))
    path = pack(tmp_path / "a.npz", [("x.npy", good)])
    content = path.read_bytes()
    broken = bytearray(content)
    broken[len(content) // 2] ^= 0xFF
    for damaged in (content[:-30], bytes(broken), b"", b"no zip"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.npz"):
            read_npz(path)
    for members in ([("x.npy", good), ("x.npy", good)], [("x.npy", b"not an array")], [("x.npy", good[:-1])]):
        path.unlink()
        with pytest.raises(DataError, match=r"a\.npz"):
            read_npz(pack(path, members))
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(tmp_path / "none.npz")
