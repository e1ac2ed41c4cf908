"""Strict reading of small CSV tables: what is ambiguous is refused with file, line, column and cell.

Columns are found by their header, in any order; numbers are plain ASCII, so ``1_000`` and ``1,5`` are errors.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.core.errors import DataError

MAX_BYTES = 2**26
MAX_LINE = 2**16
INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")


class Table:
    """The rows of a CSV file, as text, with typed access to its columns."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Read a file.

        Args:
            path: UTF-8 text, with or without a byte order mark; any line ends.
            columns: that must be there; others may be.

        Raises:
            DataError: the file is missing, not text, ragged, or lacks a column.
        """
        self.path = path
        rows = list(csv.reader(_read_lines(path)))
        header = rows[0] if rows else []
        if absent := [column for column in columns if column not in header]:
            raise DataError(f"{path}:1: no column '{absent[0]}'; found: {', '.join(header) or 'nothing'}.")
        if len(set(header)) != len(header):
            raise DataError(f"{path}:1: a column name stands twice in: {', '.join(header)}.")
        for line, row in enumerate(rows[1:], start=2):
            if len(row) != len(header):
                raise DataError(f"{path}:{line}: {len(row)} cells, expected {len(header)}.")
        self._columns = {name: [row[place] for row in rows[1:]] for place, name in enumerate(header)}
        self._rows = len(rows) - 1

    def __len__(self) -> int:
        return self._rows

    def fail(self, row: int, column: str, problem: str) -> DataError:
        """Return the error for one cell, ``row`` counted from 0 below the header."""
        return DataError(f"{self.path}:{row + 2}:{column}: {problem}, got '{self._columns[column][row][:80]}'.")

    def text(self, column: str) -> list[str]:
        """Return a column of text; empty cells are refused."""
        cells = self._columns[column]
        for row, cell in enumerate(cells):
            if not cell:
                raise self.fail(row, column, "must not be empty")
        return cells

    def integers(self, column: str) -> NDArray[np.int64]:
        """Return a column of integers."""
        return np.array(self._parse(column, INTEGER, int, "must be an integer"), np.int64)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of finite numbers."""
        values = np.array(self._parse(column, NUMBER, float, "must be a number"), np.float64)
        if not np.isfinite(values).all():
            raise self.fail(int(np.argmin(np.isfinite(values))), column, "must be finite")
        return values

    def _parse(self, column: str, pattern: re.Pattern[str], convert: Callable[[str], Any], problem: str) -> list[Any]:
        cells = self._columns[column]
        for row, cell in enumerate(cells):
            if not pattern.fullmatch(cell):
                raise self.fail(row, column, problem)
        return [convert(cell) for cell in cells]


def _read_lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read.")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8 text; save the table as UTF-8.") from error
    lines = re.split(r"\r\n|\n|\r", text)
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE or "\0" in line:
            raise DataError(f"{path}:{number}: a line of {len(line):,} characters or with NUL is no table.")
        if not line or line.count('"') % 2:
            raise DataError(f"{path}:{number}: empty line, or a quoted cell that does not end on it.")
    return lines
