"""Parts of a CSV file parsed to columns by pyarrow, where all of its lines are regular."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Int64
from loco_stream.connectors._base.lines import FileLines, Lines
from loco_stream.connectors._base.values import parse_cell

Bytes: TypeAlias = NDArray[np.uint8]

# spellings of a missing value among numbers; any other makes its column a column of texts first
_MISSING = [
    form(word)
    for word in ("", "na", "n/a", "nan", "null", "?")
    for form in (str.lower, str.upper, str.capitalize)
] + ["NaN", "N/a"]


class ColumnParser:
    r"""Parses texts of whole lines; a text with anything unusual is left to `RecordReader`.

    Parameters
    ----------
    header
        Names of all columns.
    used
        Names of those that are read.
    numeric
        Names of those that probably hold numbers alone.
    delimiter, decimal_point
        Of the file.

    Examples
    --------
    >>> parser = ColumnParser(["a", "b"], ["a", "b"], ["a"], ",", ".")
    >>> parser.parse("1,x\n2.5,y\n").to_pydict()
    {'a': [1.0, 2.5], 'b': ['x', 'y']}
    >>> parser.parse("1,x\n2.5\n") is None
    True
    """

    def __init__(
        self,
        header: Sequence[str],
        used: Sequence[str],
        numeric: Iterable[str],
        delimiter: str,
        decimal_point: str,
    ) -> None:
        self._header = list(header)
        self._used = list(used)
        self._numeric = set(numeric)
        self._delimiter = delimiter
        self._decimal_point = decimal_point
        mark = re.escape(delimiter)
        self._quoted = re.compile(rf'(?:^|(?<={mark}))"(?:[^"\r\n]|"")*"(?={mark}|\r?$)', re.M)

    def parse(self, text: str) -> Any:
        """Return a table of pyarrow with the columns as numbers or texts; None if it cannot.

        Every line is then a row with as many fields as the header, in characters of UTF-8, and
        without a line break in a field.
        """
        if len(self._header) < 2 or "\0" in text or text.count("\r") != text.count("\r\n"):
            return None
        if not self._delimiter.isascii():  # pyarrow takes a byte
            return None
        try:
            content = text.encode()
        except UnicodeEncodeError:  # bytes that could not be decoded
            return None
        characters, ends = characters_of(content)
        if not self._is_regular(text, characters, ends):
            return None
        table = self._read(content, self._numeric) if self._numeric else None
        if table is None:
            table = self._read(content, ())
            if table is not None:
                self._numeric -= {name for name in self._numeric if _has_texts(table[name])}
        return table if table is not None and table.num_rows == len(ends) - 1 else None

    def _is_regular(self, text: str, characters: Bytes, ends: Int64) -> bool:
        """Return whether no line is too long, and every field with a quote ends in its line.

        `characters` and `ends` are from `characters_of`.
        """
        if np.diff(ends).max() > csv.field_size_limit():
            return False
        if '"' not in text or self._has_plain_quotes(characters, ends):
            return True
        return '"' not in self._quoted.sub("", text)

    def _has_plain_quotes(self, characters: Bytes, ends: Int64) -> bool:
        """Return whether every quote begins or ends a whole field that has no other quote.

        Most files are like that, and a regular expression takes a hundred times as long.
        """
        quotes = np.flatnonzero(characters == ord('"'))
        if np.any(quotes.searchsorted(ends) % 2):
            return False
        delimiter = ord(self._delimiter)
        before = characters[quotes[::2] - 1]
        after = characters[quotes[1::2] + 1]
        begins = (before == delimiter) | (before == ord("\n"))
        has_ended = (after == delimiter) | (after == ord("\n")) | (after == ord("\r"))
        return bool(begins.all() and has_ended.all())

    def _read(self, content: bytes, numeric: Iterable[str]) -> Any:
        import pyarrow
        from pyarrow import csv as arrow_csv

        kinds = {name: pyarrow.string() for name in self._used}
        kinds.update(dict.fromkeys(numeric, pyarrow.float64()))
        try:
            return arrow_csv.read_csv(
                pyarrow.py_buffer(content),
                arrow_csv.ReadOptions(
                    use_threads=False, block_size=len(content) + 1, column_names=self._header
                ),
                arrow_csv.ParseOptions(delimiter=self._delimiter),
                arrow_csv.ConvertOptions(
                    column_types=kinds,
                    include_columns=self._used,
                    null_values=_MISSING,
                    decimal_point=self._decimal_point,
                ),
            )
        except pyarrow.ArrowException:
            return None


def characters_of(content: bytes) -> tuple[Bytes, Int64]:
    """Return bytes, with a line end before the first line and after the last, and all line ends."""
    last = b"" if content.endswith(b"\n") else b"\n"
    characters = np.frombuffer(b"\n%b%b" % (content, last), np.uint8)
    return characters, np.flatnonzero(characters == ord("\n"))


def _has_texts(column: Any) -> bool:
    return any(isinstance(parse_cell(text), str) for text in column.unique().to_pylist())


class PushedLines(Lines):
    """Lines of a text that was read ahead, then those of the file.

    Parameters
    ----------
    text
        What was read ahead.
    lines
        The file.

    Attributes
    ----------
    is_used
        Whether all of the text was read.
    """

    def __init__(self, text: str, lines: FileLines) -> None:
        self._ahead = StringIO(text, newline="")
        self._length = len(text)
        self._n_read = 0
        self._lines = lines

    @property
    def is_used(self) -> bool:
        """Whether all of the text was read."""
        return self._n_read >= self._length

    def read(self) -> str:
        """Return the next line."""
        line = self._ahead.readline()
        self._n_read += len(line)
        return line or self._lines.read()

    def use(self, line: str) -> None:
        """Add the line to the checksum of the file."""
        self._lines.use(line)
