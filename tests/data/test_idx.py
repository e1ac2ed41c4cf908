from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitq.core.errors import DataError
from bitq.data.idx import TYPES, read_idx


def encode(values: np.ndarray, code: int = 0x08) -> bytes:
    return bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


GOOD = encode(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
@pytest.mark.parametrize("code", TYPES)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_was_written_is_read(tmp_path: Path, name: str, code: int, data: st.DataObject) -> None:
    shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)
    values = data.draw(hnp.arrays(TYPES[code], shapes, elements={"allow_nan": False} if code > 0x0C else None))
    content = encode(values, code)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found = read_idx(path, dimensions=values.ndim)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "begins with nothing"),
        (b"PK\3\4" + GOOD, "begins with 50 4b 03 04"),
        (b"\0\0\x07\3" + GOOD[4:], "type code 0x07"),
        (b"\0\0\x08\0" + GOOD[4:], "declares 0 dimensions"),
        (b"\0\0\x08\2" + GOOD[4:], "declares 2 dimensions, expected 3"),
        (GOOD[:9], "ends inside its header, 9 bytes of 16"),
        (b"\0\0\x08\3" + struct.pack(">3I", 2**31, 2**31, 1) + b"x", "4,611,686,018,427,387,904 bytes"),
        (b"\0\0\x08\3" + struct.pack(">3I", 0, 3, 4), "0 bytes"),
        (GOOD[:-1], "24 bytes of values declared, only 23 found|24 bytes; a file"),
        (GOOD + b"x", "24 bytes of values declared, more found"),
    ],
)
def test_faults_are_named(tmp_path: Path, packed: bool, content: bytes, words: str) -> None:
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=words) as caught:
        read_idx(path, dimensions=3)
    assert str(path) in str(caught.value)


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD)
    path = tmp_path / "a.gz"
    wrong_sum = bytearray(packed)
    wrong_sum[-8] ^= 1
    for content in (packed[:-4], packed[: len(packed) // 2], bytes(wrong_sum), packed + b"junk", b"no gzip at all"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="gzip"):
            read_idx(path, dimensions=3)


def test_a_bomb_is_read_to_one_byte_past_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(GOOD + bytes(50_000_000)))
    asked: list[int] = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size=-1: asked.append(size) or read(self, size))
    with pytest.raises(DataError, match="more found"):
        read_idx(path, dimensions=3)
    assert min(asked) > 0
    assert sum(asked) <= len(GOOD) + 1


def test_a_small_file_cannot_declare_much(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", 1000, 1000, 1000)))
    with pytest.raises(DataError, match="a file of this size can hold"):
        read_idx(path, dimensions=3)


def test_checksum_is_compared_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(GOOD)
    read_idx(path, dimensions=3, sha256=hashlib.sha256(GOOD).hexdigest())
    path.write_bytes(b"X" + GOOD)
    with pytest.raises(DataError, match=r"SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}"):
        read_idx(path, dimensions=3, sha256=hashlib.sha256(GOOD).hexdigest())
