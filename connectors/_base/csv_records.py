"""Lines of a CSV file parsed to records; a bad line does not affect others."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterator

from loco_stream._text import counted
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.csv_header import Header
from loco_stream.connectors._base.lines import Lines


class RecordReader:
    r"""Yields the records of a CSV file, each as wide as the header; blank lines are skipped.

    A header that comes again, as where files were joined, holds for the records below it. A quoted
    field may span several lines. If the quote is not closed properly, the line that opens it is the
    bad row, and the following lines are parsed as if it were not there.

    Parameters
    ----------
    lines
        The lines after the header.
    header
        The header so far.
    path
        The file, for error messages.
    bad
        What happens to bad rows.
    n_before
        Number of lines before the first one.
    quoted_lines
        Number of lines that a quoted field may span; None for any. In a file that grows, a quote
        that is never closed would otherwise hold back all rows after it.

    Attributes
    ----------
    line
        Number of the first line of the record yielded last.
    header
        Header of the record yielded last.

    Examples
    --------
    >>> from io import StringIO
    >>> from loco_stream.connectors._base.lines import TextLines
    >>> lines = TextLines("rows.csv", StringIO('1,"2\n3,4\n5,"6\n7"\n'))
    >>> bad = BadRows("skip")
    >>> list(RecordReader(lines, Header.of("rows.csv", "a,b"), "rows.csv", bad))
    [['3', '4'], ['5', '6\n7']]
    >>> bad.last
    'line 1 of rows.csv opens a quote that is not closed properly'
    """

    def __init__(
        self,
        lines: Lines,
        header: Header,
        path: str,
        bad: BadRows,
        n_before: int = 0,
        quoted_lines: int | None = None,
    ) -> None:
        self._lines = lines
        self.header = header
        self._path = path
        self._bad = bad
        self._quoted_lines = math.inf if quoted_lines is None else quoted_lines
        self.line = n_before
        self._next = n_before + 1
        self._ahead: deque[str] = deque()  # read in search of the end of a quote

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the records."""
        while line := self._take():
            self.line = self._next
            taken = [line]
            if not line.strip(" \r\n"):
                self._use(taken)
                continue
            if '"' in line:
                record = self._parse_quoted(taken)
            else:
                record = line.rstrip("\r\n").split(self.header.delimiter)
            self._use(taken)
            if record is None or self._is_header(taken, record):
                continue
            if self._is_sound(record):
                yield record

    @property
    def n_lines(self) -> int:
        """Number of lines that were assigned to records, with those before the first one."""
        return self._next - 1

    def unread(self) -> str:
        """Return the lines that were read in search of the end of a quote, and forget them."""
        text = "".join(self._ahead)
        self._ahead.clear()
        return text

    def _take(self) -> str:
        return self._ahead.popleft() if self._ahead else self._lines.read()

    def _use(self, taken: list[str]) -> None:
        for line in taken:
            self._lines.use(line)
        self._next += len(taken)

    def _parse_quoted(self, taken: list[str]) -> list[str] | None:
        """Return a record with quotes; adds the further lines that belong to it to `taken`."""

        def lines() -> Iterator[str]:
            yield taken[0]
            while line := self._take():
                taken.append(line)
                if len(taken) > self._quoted_lines:
                    raise csv.Error
                yield line

        try:
            record = next(csv.reader(lines(), delimiter=self.header.delimiter, strict=True))
            if len(taken) == 1 or len(record) == len(self.header.names):
                return record
        except csv.Error:
            # The strict reader refuses what the usual one accepts: '"a" b' is 'a b'.
            if len(taken) == 1 and taken[0].count('"') % 2 == 0:
                return self._parse_leniently(taken)
        self._ahead.extendleft(reversed(taken[1:]))
        del taken[1:]
        self._add("open quote", "opens a quote that is not closed properly")
        return None

    def _parse_leniently(self, taken: list[str]) -> list[str] | None:
        try:
            return next(csv.reader(taken, delimiter=self.header.delimiter))
        except csv.Error as error:
            self._add("unreadable", f"cannot be parsed: {error}")
            return None

    def _is_header(self, taken: list[str], record: list[str]) -> bool:
        """Return whether a record is a header, and continue below it."""
        cells = map(str.strip, record)  # names are known without spaces around them
        is_row = len(record) == len(self.header.names) and self.header.words.isdisjoint(cells)
        if is_row or len(taken) > 1 or (header := self.header.renewed(taken[0])) is None:
            return False
        self.header = header
        return True

    def _is_sound(self, record: list[str]) -> bool:
        width = len(self.header.names)
        if len(record) != width:
            kind = "too few fields" if len(record) < width else "too many fields"
            expected = counted(width, "field")
            self._add(kind, f"must have {expected}, as the header has, got {len(record)}")
            return False
        if not all(map(str.isascii, record)) and any(map(undecoded, record)):
            self._add("encoding", "is not UTF-8, or not in the given `encoding`")
            return False
        return True

    def _add(self, kind: str, what: str) -> None:
        self._bad.add(kind, f"line {self.line} of {self._path} {what}")


def undecoded(text: str) -> bool:
    """Whether a text has bytes that could not be decoded (``surrogateescape``)."""
    return any("\udc80" <= character <= "\udcff" for character in text)
