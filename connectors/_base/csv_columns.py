"""Parts of a CSV file parsed to columns by pyarrow, where all of its lines are regular."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Any

from loco_stream.connectors._base.lines import FileLines, Lines
from loco_stream.connectors._base.values import parse_cell

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
        if not self._is_regular(text):
            return None
        try:
            content = text.encode()
        except UnicodeEncodeError:  # bytes that could not be decoded
            return None
        n_lines = text.count("\n") + (not text.endswith("\n"))
        table = self._read(content, self._numeric) if self._numeric else None
        if table is None:
            table = self._read(content, ())
            if table is not None:
                self._numeric -= {name for name in self._numeric if _has_texts(table[name])}
        if table is None or table.num_rows != n_lines or self._has_infinite(table):
            return None
        return table

    def _has_infinite(self, table: Any) -> bool:
        """Return whether a number is too large for float64: row by row it is an integer.

        All columns are texts where a cell of one of them is no number.
        """
        from pyarrow import compute, types

        columns = (table[name] for name in self._numeric)
        numbers = (column for column in columns if types.is_floating(column.type))
        return any(compute.any(compute.is_inf(column)).as_py() for column in numbers)

    def _is_regular(self, text: str) -> bool:
        if len(self._header) < 2 or "\0" in text or text.count("\r") != text.count("\r\n"):
            return False
        longest = csv.field_size_limit()
        if len(text) > longest and max(map(len, text.split("\n"))) > longest:
            return False
        return self._has_plain_quotes(text) or '"' not in self._quoted.sub("", text)

    def _has_plain_quotes(self, text: str) -> bool:
        """Return whether every quote begins or ends a whole field that has no other quote.

        Most files are like that, and a regular expression takes thirty times as long.
        """
        parts = text.split('"')
        inside = "".join(parts[1::2])
        if len(parts) % 2 == 0 or "\n" in inside or "\r" in inside:
            return False
        return len(parts) == 1 or self._ends_fields(parts[::2])

    def _ends_fields(self, outside: Sequence[str]) -> bool:
        """Return whether fields end where the parts between quoted texts begin and end."""
        before = {part[-1:] for part in outside[1:-1]} | {outside[0][-1:] or "\n"}
        after = {part[:1] for part in outside[1:-1]} | {outside[-1][:1] or "\n"}
        return before <= {self._delimiter, "\n"} and after <= {self._delimiter, "\r", "\n"}

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
