from __future__ import annotations

from pathlib import Path

import pytest

from bitq.core.errors import DataError
from bitq.data.table import Table


def read(tmp_path: Path, content: bytes) -> Table:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    return Table(path, ("name", "n", "x"))


@pytest.mark.parametrize(
    "content",
    [
        b"name,n,x\na,1,2.5\nb,-2,1e3\n",
        b"\xef\xbb\xbfname,n,x\r\na,1,2.5\r\nb,-2,1e3",
        b"name,n,x\ra,1,2.5\rb,-2,1e3\r",
        b"x,other,n,name\n2.5,q,1,a\n1e3,,-2,b\n\n",
        b'"name",n,x\n"a",1,"2.5"\nb,-2,1e3\n',
    ],
)
def test_unambiguous_forms_are_read(tmp_path: Path, content: bytes) -> None:
    table = read(tmp_path, content)
    assert table.text("name") == ["a", "b"]
    assert table.integers("n").tolist() == [1, -2]
    assert table.numbers("x").tolist() == [2.5, 1000.0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ":1: no column 'name'; found: nothing"),
        (b"name,n\na,1\n", ":1: no column 'x'; found: name, n"),
        (b"name,n,x,n\na,1,2,3\n", ":1: a column name stands twice"),
        (b"name,n,x\na,1\n", ":2: 2 cells, expected 3"),
        (b"name,n,x\na,1,2\n\nb,1,2\n", ":3: empty line"),
        (b'name,n,x\n"a\nb",1,2\n', ":2: .*quoted cell"),
        (b"name,n,x\na\0,1,2\n", ":2: .*NUL"),
        (b"name,n,x\n" + b"a" * 100_000 + b",1,2\n", ":2: a line of 100,004 characters"),
        ("name,n,x\na,1,2\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_faulty_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=rf"t\.csv.*{words}"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "cell", ["", "abc", '"1,5"', "1_000", "١٢", "0x10", " 1", "1 ", "--1", "nan", "inf", "1e999"]
)
def test_what_is_no_plain_number_is_refused_with_its_place(tmp_path: Path, cell: str) -> None:
    table = read(tmp_path, f"name,n,x\na,1,2\nb,{cell},{cell}\n".encode())
    with pytest.raises(DataError, match=r"t\.csv:3:n: must be an integer"):
        table.integers("n")
    with pytest.raises(DataError, match=r"t\.csv:3:x: must be"):
        table.numbers("x")


def test_empty_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv:2:name: must not be empty"):
        read(tmp_path, b"name,n,x\n,1,2\n").text("name")
