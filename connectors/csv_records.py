"""Lines of a table cut into records; a bad line costs itself and no other."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator

from loco_stream.connectors.bad_rows import BadRows

__all__ = ["RecordReader", "undecoded"]


class RecordReader:
    r"""Yields the records of a table that have the header's width; blank lines are none.

    A quoted field may go over several lines. Where that does not end well, the line that opened the
    quote is to blame: it is a bad row, and those after it are read as if it were not there.

    Parameters
    ----------
    read
        Returns the next line, empty at the end.
    used
        Called with each line once it is known what it belongs to.
    delimiter, width
        Of the fields; how many a record has.
    path
        The file, for errors.
    bad
        What is done with bad rows.
    line
        Number of lines before the first one.

    Examples
    --------
    >>> lines = iter(['1,"2\n', "3,4\n", '5,"6\n', '7"\n', ""])
    >>> bad = BadRows("skip")
    >>> reader = RecordReader(lambda: next(lines), lambda line: None, ",", 2, "rows.csv", bad)
    >>> list(reader), bad.last
    ([['3', '4'], ['5', '6\n7']], 'line 1 of rows.csv opens a quote that is not closed as it should
    be')
    """

    def __init__(
        self,
        read: Callable[[], str],
        used: Callable[[str], None],
        delimiter: str,
        width: int,
        path: str,
        bad: BadRows,
        line: int = 0,
    ) -> None:
        self._read = read
        self._used = used
        self._delimiter = delimiter
        self._width = width
        self._path = path
        self._bad = bad
        self.line = line  # of the record yielded last: its first one
        self._next = line + 1
        self._ahead: deque[str] = deque()  # read in search of the end of a quote

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the records."""
        while line := self._take():
            self.line = self._next
            taken = [line]
            if line.strip(" \r\n"):
                record = (
                    line.rstrip("\r\n").split(self._delimiter)
                    if '"' not in line
                    else self._quoted(taken)
                )
                self._enter(taken)
                if record is not None and self._fits(record):
                    yield record
            else:
                self._enter(taken)

    def _take(self) -> str:
        return self._ahead.popleft() if self._ahead else self._read()

    def _enter(self, taken: list[str]) -> None:
        for line in taken:
            self._used(line)
        self._next += len(taken)

    def _quoted(self, taken: list[str]) -> list[str] | None:
        """Read a record that has a quote in it.

        Adds to `taken` the further lines that belong to it.
        """

        def lines() -> Iterator[str]:
            yield taken[0]
            while line := self._take():
                taken.append(line)
                yield line

        try:
            record = next(csv.reader(lines(), delimiter=self._delimiter, strict=True))
            if len(taken) == 1 or len(record) == self._width:
                return record
        except (
            csv.Error
        ):  # of strict reading, which tells what the usual one makes up for: '"a" b' is 'a b'
            if len(taken) == 1 and taken[0].count('"') % 2 == 0:
                return self._leniently(taken)
        self._ahead.extendleft(reversed(taken[1:]))
        del taken[1:]
        self._found("open quote", "opens a quote that is not closed as it should be")
        return None

    def _leniently(self, taken: list[str]) -> list[str] | None:
        try:
            return next(csv.reader(taken, delimiter=self._delimiter))
        except csv.Error as error:
            self._found("unreadable", f"cannot be read: {error}")
            return None

    def _fits(self, record: list[str]) -> bool:
        if len(record) != self._width:
            kind = "too few fields" if len(record) < self._width else "too many fields"
            self._found(kind, f"has {len(record)} fields, the header has {self._width}")
            return False
        if any(not field.isascii() and undecoded(field) for field in record):
            self._found("encoding", "is not UTF-8, or not of the encoding= that was named")
            return False
        return True

    def _found(self, kind: str, what: str) -> None:
        self._bad.found(kind, f"line {self.line} of {self._path} {what}")


def undecoded(text: str) -> bool:
    """Whether a text holds bytes that could not be decoded (``surrogateescape``)."""
    return any("\udc80" <= sign <= "\udcff" for sign in text)
