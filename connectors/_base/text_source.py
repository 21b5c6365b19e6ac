"""Tables in text files: recordings, pipes and growing files."""

from __future__ import annotations

import logging
import math
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from loco_stream._checks import checks_types
from loco_stream._joins import Item
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.file_follower import FileCursor, start_of
from loco_stream.connectors._base.lines import FileLines, Lines, shown_path
from loco_stream.connectors._base.numbered_source import check_rows_read, event_of
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors._base.table_source import MAX_FEATURES, PEEK, TableSource
from loco_stream.connectors._base.tail_reader import (
    Arrival,
    Numbered,
    Record,
    TailReader,
    open_tail,
)
from loco_stream.errors import SourceError
from loco_stream.stream import Position

_log = logging.getLogger(__name__)

_FIRST_SECONDS = 1.0  # after the first row, whose further rows show the kind of the labels


class TextSource(TableSource):
    """Base class of sources that parse records from lines of text.

    A recording is read with a checksum, so that a resumed run notices another file under the same
    name. For a pipe or growing file, the rows of the first second, at most 1000, determine the kind
    of the labels.

    Parameters
    ----------
    scheme
        Of the URL, the first part of the name.
    path
        File, pipe, or ``-`` for standard input.
    encoding
        Of the text.
    target, time_format, follow, idle, options
        As in `CSVSource`.
    """

    _fixed_columns = True  # whether every row has all columns

    @checks_types
    def __init__(
        self,
        scheme: str,
        path: str | Path,
        encoding: str,
        target: str | None,
        time_format: str | None = None,
        /,
        *,
        follow: bool = False,
        idle: Seconds | None = None,
        **options: Any,
    ) -> None:
        self.path = Path(path)
        self._encoding = encoding
        name = f"{scheme}:{self.path.name}"
        super().__init__(name, shown_path(self.path), target, time_format, **options)
        self._lines: FileLines | None = None  # of the recording that is being read
        self._before = (0, 0)  # rows before the one that was read last, and their checksum
        self._skipped: Mapping[str, int] = {}  # by the tail reader, up to the last row
        self._header_line = ""  # that the last row of a live stream is below
        self._without_target = ""  # why no label may come, if the first rows have no such column
        self._n_gaps = 0  # that were noted
        self._tail = open_tail(self.path, encoding, follow=follow, idle=idle, pace=self._pace)
        if self._tail is not None:
            if self._tail.is_growing:  # even a run without a row resumes in this file
                self._tail.cursor = start_of(self.path)
            self.is_live = True
            self.guarantee = self._tail.guarantee
            self.needs_log = not self._tail.is_growing  # a pipe is not read twice

    @abstractmethod
    def _parse(self, lines: Lines, bad: BadRows) -> Numbered:
        """Yield the records after the header, each with the number of its first line."""

    def _read_header(self, lines: Lines) -> None:
        """Read the header, if the format has one."""

    def _set_header(self, line: str) -> None:
        """Take the header that the next record is below, if the format has one."""

    # Recordings

    def _parse_first(self, lines: Lines, bad: BadRows) -> Numbered:
        """Yield what `_parse` does, though values may be texts as written."""
        return self._parse(lines, bad)

    def _peek(self, wanted: str) -> list[Record]:
        """Return the first records of a recording, as `_parse_first` yields them.

        Raises `SourceError` if there is none, which names what is wanted.
        """
        lines = FileLines(self.path, self._encoding)
        records: list[Record] = []
        try:
            self._read_header(lines)
            for _, record in islice(self._parse_first(lines, self._bad), PEEK):
                records.append(record)
        except SourceError:  # of damage after a row, when that row has been read
            if not records or lines.damage is None:
                raise
        finally:
            lines.close()
        if not records:
            raise SourceError(f"{self._where} must have at least one {wanted}")
        is_all = len(records) < PEEK and lines.damage is None
        self.n_rows = len(records) if is_all else None
        return records

    def _records(self, start: int) -> Generator[Record]:
        self._lines = lines = FileLines(self.path, self._encoding)
        self._begin_reading()
        try:
            self._read_header(lines)
            yield from self._after(start, self._parse(lines, self._bad), lines)
        finally:
            lines.close()

    def _after(self, start: int, records: Numbered, lines: FileLines) -> Iterator[Record]:
        """Yield the records from number `start` on."""
        number = 0
        checksum = 0
        for number, (line, record) in enumerate(records, 1):
            self._before = (number - 1, checksum)
            checksum = lines.checksum
            if number > start:
                self.location = f"line {line} of {self._where}"
                yield record
            elif number == start:
                self._bad.clear()  # an earlier run has counted those
        check_rows_read(self.path, start, number)

    @property
    def fingerprint(self) -> dict[str, int] | None:
        """``{"row": n, "checksum": c}`` of the first n rows; None for a pipe or growing file."""
        if self._tail is not None:
            return None
        checksum = self._read_mark() if self._mark is None else self._mark
        n_before, checksum_before = self._before
        is_ahead = self._row == n_before > 0  # a row was read that is not due yet
        return {"row": self._row, "checksum": checksum_before if is_ahead else checksum}

    def _read_mark(self) -> int:
        return 0 if self._lines is None else self._lines.checksum

    def verify(self, fingerprint: Mapping[str, int]) -> None:
        """Raise `SourceError` if no part of the recording has the checksum of the fingerprint."""
        if self._tail is None and not self._begins_with(fingerprint["checksum"]):
            raise SourceError(
                f"{self._where} must be the file that was read before: its header or its first "
                f"{fingerprint['row']:,} rows are different or missing"
            )

    def _begins_with(self, checksum: int) -> bool:
        """Return whether the first lines have a checksum; their number is not known."""
        with closing(FileLines(self.path, self._encoding)) as lines:
            while lines.checksum != checksum:
                line = lines.read()
                if not line:
                    return False
                lines.use(line)
        return True

    @property
    def progress(self) -> float | None:
        """Share of the recording that was read; None for a pipe or growing file."""
        if self._tail is not None:
            return None
        if self.n_rows or self._lines is None:
            return super().progress
        return self._lines.progress

    def _fits(self, record: Record, where: str, bad: BadRows) -> bool:
        """Return whether a record has as many features as it may; with `use` it is settled."""
        if self._only or len(record) <= MAX_FEATURES:
            return True
        reason = f"{where} must have at most {MAX_FEATURES} features, got {len(record)}"
        bad.add("more features than allowed", reason)
        return False

    def _note(self, note: str) -> None:
        _log.warning("%s", note)
        self.notes = (*self.notes, note)

    # Pipes and growing files

    def __iter__(self) -> Generator[Item]:
        """Yield the rows from the position on."""
        return super().__iter__() if self._tail is None else self._live_rows()

    def _live_rows(self) -> Generator[Item]:
        """Yield rows as they arrive, and empty lists while none does."""
        tail = self._tail
        assert tail is not None
        with closing(self._batches(tail)) as batches:
            for arrivals in batches:
                self._note_gaps(tail)
                if arrivals:
                    yield from self._rows_of(arrivals)
                else:
                    self._skipped = tail.skipped
                    yield []
        self._skipped = tail.skipped
        if tail.ended and self._row == 0:
            raise SourceError(f"{self._where} ended before the first row")
        if tail.ended and self._without_target:
            raise SourceError(self._without_target)

    def _note_gaps(self, tail: TailReader) -> None:
        """Log each file that was gone before it was read; the report repeats the first one."""
        if tail.n_gaps == self._n_gaps:
            return
        if self._n_gaps:
            _log.warning("%s", tail.loss)
        else:
            self._note(tail.loss)
        self._n_gaps = tail.n_gaps

    def _batches(self, tail: TailReader) -> Generator[list[Arrival]]:
        """Yield what arrives; the second after the first row and the first label together."""
        with closing(tail.batches(self._parse, self._row, self.on_bad)) as batches:
            if not self._has_columns:
                yield from _gather(batches)
            for arrivals in batches:
                records = (arrival.record for arrival in arrivals)
                if self._label or not self._first_labels(records):
                    yield arrivals
                else:  # the first label: those after it show its kind, too
                    yield from _gather(batches, arrivals)

    def _rows_of(self, arrivals: Sequence[Arrival]) -> Iterator[Item]:
        assert self._tail is not None
        if not self._has_columns:
            self._set_columns_from([arrival.record for arrival in arrivals])
        elif not self._label:
            self._set_kind(self._first_labels(arrival.record for arrival in arrivals))
        for arrival in arrivals:
            self.location = f"line {arrival.line} of {self._where}"
            if arrival.header != self._header_line:
                self._header_line = arrival.header
                self._set_header(arrival.header)
            row = self._row_of(arrival.record, self.location)
            self._row += 1
            self._tail.cursor = arrival.cursor
            self._skipped = arrival.skipped
            if row is None:
                yield []
            else:
                if row.y is not None:
                    self._without_target = ""
                yield event_of(row, self._row - 1, self.name)

    def _set_columns_from(self, records: Sequence[Record]) -> None:
        """Take the columns from the first records."""
        names = list(dict.fromkeys(name for record in records for name in record))
        self._set_targets(self._roles.targets(names))
        self._set_columns(names, self._first_labels(records), fixed=self._fixed_columns)

    def _check_columns(self, names: Sequence[str]) -> None:
        """Check the roles; later rows of a live stream may have columns that the first have not."""
        if self._tail is None or self._fixed_columns:
            super()._check_columns(names)
            return
        self._roles.check_target(self._where, names)
        for role, sentence in self._roles.missing(self._where, names):
            if role == "target":  # the engine reports that no label comes
                self._without_target = sentence
            else:
                self._note(f"{sentence}; rows that come later may have it")

    @property
    def stats(self) -> dict[str, int]:
        """Number of rotated files that were gone before they were read to their end."""
        if self._tail is None or not self._tail.is_growing:
            return {}
        return {"gaps": self._tail.n_gaps}

    @property
    def skipped(self) -> Mapping[str, int]:
        """Number of bad rows that were left out, by kind."""
        return dict(Counter(super().skipped) + Counter(self._skipped))

    @property
    def last_error(self) -> str:
        """Description of the most recent bad row."""
        return super().last_error or ("" if self._tail is None else self._tail.last_error)

    @property
    def position(self) -> Position:
        """``{"row": n}`` for n rows; in a growing file also cursor, header and kind of labels."""
        position = super().position
        if self._tail is None or self._tail.cursor is None:
            return position
        header = {"header": self._header_line} if self._header_line else {}
        return {**position, "file": asdict(self._tail.cursor), "label": self._label, **header}

    def seek(self, position: Position) -> None:
        """Go to a position; a pipe continues with what arrives next."""
        super().seek(position)
        if self._tail is None:
            return
        self._tail.stop()
        if not self._tail.is_growing:
            return
        if "file" not in position:  # of a run that did not follow the file
            self._tail.cursor = None
            return
        self._tail.cursor = self._cursor_in(position)
        if header := position.get("header"):  # none in one of release 0.2
            self._header_line = str(header)
            self._set_header(self._header_line)

    def _cursor_in(self, position: Position) -> FileCursor:
        try:
            return FileCursor(**{name: int(number) for name, number in position["file"].items()})
        except (AttributeError, TypeError, ValueError):
            raise SourceError(
                f"`position` of {self.name} must hold a cursor under 'file', got {dict(position)!r}"
            ) from None

    def close(self) -> None:
        """End the thread, and close the pipe or file."""
        if self._tail is not None:
            self._tail.close()


def _gather(
    batches: Iterator[list[Arrival]], begun: Sequence[Arrival] = ()
) -> Iterator[list[Arrival]]:
    """Yield the records of the second after the first one together, and empty lists before.

    `begun`: the first of them.
    """
    first = [*begun]
    until = time.monotonic() + _FIRST_SECONDS if begun else math.inf
    for arrivals in batches:
        first += arrivals
        if first:
            until = min(until, time.monotonic() + _FIRST_SECONDS)
        if len(first) >= PEEK or time.monotonic() >= until:
            break
        if not arrivals:
            yield []
    yield first
