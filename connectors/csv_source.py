"""Tables in text files as sources."""

from __future__ import annotations

import codecs
import csv
import gzip
import stat
from collections.abc import Iterator, Mapping, Sequence
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any
from zlib import crc32

from loco_stream.connectors.bad_rows import BadRows
from loco_stream.connectors.csv_records import RecordReader, undecoded
from loco_stream.connectors.live_rows import LONGEST_LINE, LiveRows
from loco_stream.connectors.rows import Pace
from loco_stream.connectors.table import PEEK, check_columns, check_speed
from loco_stream.connectors.values import number, parse_cell
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event

__all__ = ["CSVSource", "TextSource"]

_DELIMITERS = {"tab": "\t", "\\t": "\t"}


class TextSource(LiveRows):
    """A table in a text file, plain or ``.gz``: of a long one the bytes tell how much was read.

    Pipes are read once.

    The lines read are summed up in a checksum, so that a resumed run notices another file in the
    place of its own.
    """

    path: Path
    _file: TextIOWrapper | None = None
    _checksum = 0  # of the lines read
    _expected: Mapping[str, int] | None = None  # the fingerprint that the file should have

    def _open(self) -> TextIOWrapper:
        self._file = _open_text(self.path, self._encoding)
        self._checksum = 0
        self._bad.clear()
        return self._file

    def _read_line(self, file: IO[str]) -> str:
        line = file.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE:
            raise SourceError(
                f"{self.path} has a line of more than {LONGEST_LINE} characters: is it a table of text?"
            )
        return line

    def _sum_up(self, line: str) -> None:
        """Enter a line into the checksum, now that it is known to be read."""
        if self._followed is not None:
            self._followed.use()
        self._checksum = crc32(line.encode("utf-8", "surrogatepass"), self._checksum)

    @property
    def fingerprint(self) -> dict[str, int] | None:
        """``{"row": n, "checksum": c}``: what a resumed run compares the first n rows with.

        None of a live file.
        """
        return None if self._live else {"row": self._row, "checksum": self._checksum}

    def verify(self, fingerprint: Mapping[str, int]) -> None:
        """Compare the file with the fingerprint of an earlier run as it is read on.

        Raises
        ------
        SourceError
            Later, by the iteration: the rows that were read before are not the same.
        """
        self._expected = fingerprint

    def _from(self, records: Iterator[Any], start: int) -> Iterator[Any]:
        """Yield the records from number `start` on."""
        number = 0
        for number, record in enumerate(records, 1):
            if number > start:
                yield record
            elif number == start:
                self._bad.clear()  # an earlier run has counted those
            if self._expected is not None and number == self._expected["row"]:
                self._compare(self._expected)
        if number < max(start, (self._expected or {}).get("row", 0)):
            raise SourceError(
                f"{self.path} has {number} rows, and {max(start, number + 1)} were read before: it is not the same file"
            )

    def _compare(self, expected: Mapping[str, int]) -> None:
        self._expected = None
        if self._checksum != expected["checksum"]:
            raise SourceError(
                f"the first {expected['row']} rows of {self.path} or its header are not those that were read before: "
                "it is not the same file"
            )

    def _peek(self, records: Iterator[Any]) -> list[Any]:
        peeked = list(islice(records, PEEK))
        self.n_rows = len(peeked) if len(peeked) < PEEK else None
        self._file = None
        return peeked

    @property
    def progress(self) -> float | None:
        """How much of the file was read, from 0 to 1; None before it is, and of a live one."""
        if self._live:
            return None
        if self.n_rows or self._file is None:
            return super().progress
        buffer: Any = self._file.buffer
        try:
            return float(getattr(buffer, "fileobj", buffer).tell() / self.path.stat().st_size)
        except (AttributeError, ValueError):  # it was closed at its end
            return 1.0


class CSVSource(TextSource):
    r"""Rows of a CSV file with a header line; ``.gz`` is read as gzip.

    Numbers and true/false are parsed, other text stays text, and an empty cell, NA, N/A, NaN, null
    or ? is a missing value (None). Labels are ints where the first 1000 are whole numbers, floats
    in regression, else text as written.

    Parameters
    ----------
    path
        The file; ``-`` is standard input. A pipe or FIFO is read once, as it comes.
    target
        The label's column; an empty name reads an unlabelled stream.
    drop
        Columns to leave out.
    delimiter
        One character, or ``"tab"``; None finds it among comma, semicolon, tab and bar in the
        header. In a URL ``separator=`` is the same.
    decimal
        What stands before the fraction of a number, ``"."`` or ``","``.
    encoding
        Of the text, by any name that Python knows; UTF-8 unless given.
    task
        ``"classification"`` or ``"regression"``; None decides by the first 1000 labels: numbers
        with a fraction mean regression.
    time
        Column of the event time (seconds since 1970 or ISO 8601); it is then not a feature.
    sequence
        Column of the id of the event that a row is of; it is then not a feature. A model with
        memory begins afresh where the id changes.
    rate
        Replay at so many rows a second; None reads as fast as the engine takes.
    speed
        Replay at so many times the recorded speed (needs `time`).
    on_bad
        ``"stop"``: a bad row (another width, an open quote, bytes that are no UTF-8, a label or a
        time that is none) raises, for a recording can be mended and read again; ``"skip"``: it is
        left out and counted in `skipped`.
    follow
        Wait for more at the end, through rotation of the file; a resumed run goes on at the byte it
        had reached. What labels are is then told by the rows of the first second.
    idle
        End a pipe, or a file that is followed, after so many seconds without a row; None never
        does.

    Raises
    ------
    SourceError
        No such file, an empty one, no header, a missing column; while reading, a bad row.
    ConfigError
        An option out of range.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from loco_stream.connectors import CSVSource
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.csv"
    >>> _ = path.write_text("colour,size,kind\nred,2,a\n,3.5,b\n")
    >>> [(s.x, s.y) for s in CSVSource(path, target="kind")]
    [({'colour': 'red', 'size': 2}, 'a'), ({'colour': None, 'size': 3.5}, 'b')]
    """

    def __init__(
        self,
        path: str | Path,
        target: str | None = None,
        *,
        drop: Sequence[str] = (),
        delimiter: str | None = None,
        decimal: str = ".",
        encoding: str | None = None,
        task: str | None = None,
        time: str | None = None,
        sequence: str | None = None,
        rate: float | None = None,
        speed: float | None = None,
        on_bad: str = "stop",
        follow: bool = False,
        idle: float | None = None,
    ) -> None:
        pace = Pace(rate, speed)
        check_speed(time, speed)
        self._bad = BadRows(on_bad)
        self.path = Path(path)
        self._delimiter = _one_character(delimiter)
        if decimal not in (".", ","):
            raise ConfigError(f"decimal is {decimal!r}; allowed are '.' and ','")
        self._comma = decimal == ","
        self._encoding = _text_encoding(encoding)
        labels = None
        if self._go_live(follow, idle, pace):
            self._header = self._read_header(self._first_text())
            check_columns(str(path), self._header, target, drop, time, sequence)
        else:
            labels = self._first_labels(target, drop, time, sequence)
        super().__init__(
            f"csv:{self.path.name}",
            str(path),
            self._header,
            labels,
            target=target,
            drop=drop,
            task=task,
            time=time,
            sequence=sequence,
            pace=pace,
            bad=self._bad,
        )

    def _first_labels(
        self, target: str | None, drop: Sequence[str], time: str | None, sequence: str | None
    ) -> list[str]:
        """Read the header and the first rows, and return their labels."""
        with self._open() as file:
            self._header = self._read_header(file)
            check_columns(str(self.path), self._header, target, drop, time, sequence)
            peeked = self._peek(self._lines(file))
        if not peeked:
            raise SourceError(f"{self.path} has a header and no rows")
        return [record[self._header.index(target)] for record in peeked] if target else []

    def _first_line(self, file: IO[str]) -> str:
        """Return the header, which may come after blank lines."""
        self._line = 0
        while line := self._guarded(lambda: self._read_line(file)):
            self._line += 1
            self._sum_up(line)
            if line.strip():
                return str(line)
        raise SourceError(f"{self.path} is empty: a header line and at least one row are needed")

    def _read_header(self, file: IO[str]) -> list[str]:
        line = self._header_line = self._first_line(file)
        if undecoded(line):
            raise SourceError(
                f"cannot read {self.path}: its header is not UTF-8, or not of the encoding= named"
            )
        if self._delimiter is None:
            self._delimiter = max(",;\t|", key=line.count)
        header = [
            name.strip()
            for name in self._guarded(csv.reader([line], delimiter=self._delimiter).__next__)
        ]
        if all(number(name) is not None for name in header):
            raise SourceError(
                f"{self.path} has no header: its first line holds only numbers ({line.strip()[:60]})"
            )
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise SourceError(f"{self.path} has two columns named {twice[0]!r}")
        return header

    def _guarded(self, read: Any) -> Any:
        """Return what `read` returns; damage in the file becomes one sentence."""
        try:
            return read()
        except (UnicodeError, EOFError, OSError, csv.Error) as e:
            raise SourceError(f"cannot read {self.path}: {e}") from None

    def _lines(self, file: IO[str]) -> Iterator[list[str]]:
        """Yield records after the header, each of the header's width; blank lines are skipped."""
        reader = RecordReader(
            lambda: self._guarded(lambda: self._read_line(file)),
            self._sum_up,
            self._delimiter or ",",
            len(self._header),
            str(self.path),
            self._reading or self._bad,
            self._line,
        )
        for record in reader:
            self.location = f"line {reader.line} of {self.path}"
            yield [_with_point(cell) for cell in record] if self._comma else record

    def _records(self, start: int) -> Iterator[Mapping[str, Any]]:
        with self._open() as file:
            self._first_line(file)
            yield from map(self._named, self._from(self._lines(file), start))

    def _parsed(self, file: IO[str]) -> Iterator[Mapping[str, Any]]:
        return map(self._named, self._lines(file))

    def _named(self, record: Sequence[str]) -> dict[str, Any]:
        raw = (self._target, self._time, self._sequence)
        return {
            name: (cell or None) if name in raw else parse_cell(cell)
            for name, cell in zip(self._header, record, strict=True)
        }

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield the rows from the position on."""
        return self._live_events(self._header_line) if self._live else super().__iter__()


def _open_text(path: Path, encoding: str) -> TextIOWrapper:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = (
                "a folder: name a file in it"
                if path.is_dir()
                else "no regular file: a table is read more than once"
            )
            raise SourceError(f"{path} is {what}")
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding=encoding, errors="surrogateescape", newline="")
        return path.open(encoding=encoding, errors="surrogateescape", newline="")
    except OSError as e:
        raise SourceError(f"cannot read {path}: {e.strerror or e}") from None


def _one_character(delimiter: str | None) -> str | None:
    if delimiter is None:
        return None
    delimiter = _DELIMITERS.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ConfigError(f"delimiter must be one character or 'tab', not {delimiter!r}")
    return delimiter


def _text_encoding(name: str | None) -> str:
    try:
        if name is None or codecs.lookup(name).name == "utf-8":
            return "utf-8-sig"
        "".encode(name)  # codecs that are none of text, such as hex, refuse
    except (LookupError, ValueError):
        raise ConfigError(
            f"encoding is {name!r}; allowed are the text encodings of Python, for example latin-1, cp1252 or utf-16"
        ) from None
    return name


def _with_point(cell: str) -> str:
    """Return a number with a decimal comma as one with a point; any other cell as it is."""
    pointed = cell.replace(",", ".", 1)
    return pointed if "," in cell and number(pointed) is not None else cell
