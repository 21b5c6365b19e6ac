"""Tables in text files as sources."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from loco_stream.connectors.rows import Pace, Row, RowSource, check_task
from loco_stream.connectors.values import MISSING, event_time, hint, label_of, number, parse_cell
from loco_stream.errors import ConfigError, SourceError
from loco_stream.event import Schema

__all__ = ["CSVSource", "label_kind", "label_task", "pick_columns"]

_PEEK = 1000  # rows read ahead to tell whole numbers, numbers and words apart among the labels
_DELIMITERS = {"tab": "\t", "\\t": "\t"}


class CSVSource(RowSource):
    r"""Rows of a CSV file with a header line; ``.gz`` is read as gzip.

    Numbers and true/false are parsed, other text stays text, and an empty cell, NA, N/A, NaN, null
    or ? is a missing value (None). Labels are ints where the first 1000 are whole numbers, floats
    in regression, else text as written.

    Parameters
    ----------
    path
        The file, UTF-8.
    target
        The label's column; an empty name reads an unlabelled stream.
    drop
        Columns to leave out.
    delimiter
        One character, or ``"tab"``; None finds it among comma, semicolon, tab and bar in the header.
    task
        ``"classification"`` or ``"regression"``; None decides by the first 1000 labels: numbers
        with a fraction mean regression.
    time
        Column of the event time (seconds since 1970 or ISO 8601); it is then not a feature.
    rate
        Replay at so many rows a second; None reads as fast as the engine takes.
    speed
        Replay at so many times the recorded speed (needs `time`).

    Raises
    ------
    SourceError
        No such file, an empty one, no header, a missing column; while reading, a row of another width.
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
        task: str | None = None,
        time: str | None = None,
        rate: float | None = None,
        speed: float | None = None,
    ) -> None:
        pace = Pace(rate, speed)
        self.path = Path(path)
        self._delimiter = _one_character(delimiter)
        with self._open() as file:
            self._header = self._read_header(file)
            self._used = pick_columns(str(path), self._header, target, drop, time, speed)
            peeked = list(islice(self._records(file), _PEEK))
        if not peeked:
            raise SourceError(f"{path} has a header and no rows")
        self._target, self._time = self._index(target), self._index(time)
        labels = [] if self._target is None else [record[self._target] for record in peeked]
        self._label = label_kind(labels, check_task(task))
        schema = Schema(label_task(self._label, target, task), tuple(self._header[i] for i in self._used))
        super().__init__(f"csv:{self.path.name}", schema, pace)

    def _open(self) -> IO[str]:
        try:
            if self.path.suffix == ".gz":
                return gzip.open(self.path, "rt", encoding="utf-8-sig", newline="")
            return self.path.open(encoding="utf-8-sig", newline="")
        except OSError as e:
            raise SourceError(f"cannot read {self.path}: {e.strerror or e}") from None

    def _read_header(self, file: IO[str]) -> list[str]:
        line = self._guarded(file.readline)
        if not line.strip():
            raise SourceError(f"{self.path} is empty: a header line and at least one row are needed")
        if self._delimiter is None:
            self._delimiter = max(",;\t|", key=line.count)
        header = [name.strip() for name in next(csv.reader([line], delimiter=self._delimiter))]
        if all(number(name) is not None for name in header):
            raise SourceError(f"{self.path} has no header: its first line holds only numbers ({line.strip()[:60]})")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise SourceError(f"{self.path} has two columns named {twice[0]!r}")
        return header

    def _index(self, name: str | None) -> int | None:
        return self._header.index(name) if name else None

    def _guarded(self, read: Any) -> Any:
        """Return what `read` returns; damage in the file becomes one sentence."""
        try:
            return read()
        except StopIteration:
            return None
        except (UnicodeDecodeError, EOFError, OSError, csv.Error) as e:
            raise SourceError(f"cannot read {self.path}: {e}") from None

    def _records(self, file: IO[str]) -> Iterator[list[str]]:
        """Yield records after the header, each of the header's width; blank lines are skipped."""
        reader = csv.reader(file, delimiter=self._delimiter or ",")
        width = len(self._header)
        while (record := self._guarded(reader.__next__)) is not None:
            if record and len(record) != width:
                line = reader.line_num + 1
                raise SourceError(f"line {line} of {self.path} has {len(record)} fields, the header has {width}")
            if record:
                yield record

    def _rows(self, start: int) -> Iterator[Row]:
        names = [(i, self._header[i]) for i in self._used]
        with self._open() as file:
            self._guarded(file.readline)
            for record in islice(self._records(file), start, None):
                x = {name: parse_cell(record[i]) for i, name in names}
                y = None if self._target is None else label_of(record[self._target], self._label)
                yield x, y, math.nan if self._time is None else event_time(record[self._time] or None)


def _one_character(delimiter: str | None) -> str | None:
    if delimiter is None:
        return None
    delimiter = _DELIMITERS.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise ConfigError(f"delimiter must be one character or 'tab', not {delimiter!r}")
    return delimiter


def pick_columns(
    where: str, columns: Sequence[str], target: str | None, drop: Sequence[str], time: str | None, speed: float | None
) -> list[int]:
    """Return the indices of the feature columns; every column that was named has to exist."""
    if target is None:
        raise SourceError(
            f"{where}: name the label's column with target=, or give an empty target for rows without labels "
            f"(columns: {', '.join(columns)})"
        )
    for role, name in [("target", target), ("time", time), *(("drop", d) for d in drop)]:
        if name and name not in columns:
            raise SourceError(
                f"{where} has no {role} column {name!r}{hint(name, columns)} (columns: {', '.join(columns)})"
            )
    if speed is not None and time is None:
        raise ConfigError("speed replays recorded times: name their column with time=")
    away = {target, time, *drop}
    used = [i for i, name in enumerate(columns) if name not in away]
    if not used:
        raise SourceError(f"{where} has no feature column left beside {', '.join(sorted(n for n in away if n))}")
    return used


def label_kind(peeked: Sequence[Any], task: str | None) -> str:
    """Return "int", "float" (regression) or "str", judged by the task and the first labels."""
    if task == "regression":
        return "float"
    known = [v for v in peeked if v is not None and str(v).strip().lower() not in MISSING]
    values = [number(v) if isinstance(v, str) else v for v in known]
    if known and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return "int"
    if task is None and known and all(isinstance(v, float) or type(v) is int for v in values):
        return "float"
    return "str"


def label_task(kind: str, target: str | None, task: str | None) -> str | None:
    """Return the task that labels of this kind belong to; None for rows without labels."""
    if task is not None or not target:
        return task
    return "regression" if kind == "float" else "classification"
