"""Sources whose position is a row number, and the pace of a replay."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from loco_stream._joins import Item, join_rows
from loco_stream.connectors._base.checks import check_positive
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Labels, Position, Sample, Schema, Source

_TICK = 0.1


class SourceRow(NamedTuple):
    """A row as a mapping, its label, event time and sequence id."""

    x: Mapping[Any, Any]
    y: Any
    t: float = math.nan
    sequence: Hashable = None
    id: Any = None
    extra: Mapping[str, Any] | None = None


class LateLabel(NamedTuple):
    """A record with nothing but a label, and the id of its row."""

    id: Any
    y: Any


def event_of(row: SourceRow | LateLabel, seq: int, source: str) -> Event:
    """Return the event of a record with the number `seq`."""
    if isinstance(row, LateLabel):
        return Labels([row.id], [row.y], seq, source, by_id=True)
    return Sample(row.x, row.y, seq, row.t, source, row.sequence, id=row.id, extra=row.extra)


class Pace:
    """Delays the rows of a replay.

    Parameters
    ----------
    rate
        Rows per second.
    speed
        Multiple of the recorded speed. Without `rate` and `speed` nothing is delayed.

    Raises
    ------
    ConfigError
        A value that is not above 0, or both.
    """

    def __init__(self, rate: float | None = None, speed: float | None = None) -> None:
        check_positive(rate=rate, speed=speed)
        if rate is not None and speed is not None:
            raise ConfigError("only one of `rate` and `speed` must be given, got both")
        self._rate = rate
        self.speed = speed
        self._began: float | None = None
        self._n_released = 0
        self._first_time = math.nan

    @property
    def active(self) -> bool:
        """Whether rows are delayed."""
        return self._rate is not None or self.speed is not None

    def due(self, t: float) -> float:
        """Return the seconds after the start at which the next row, recorded at `t`, is due."""
        if self._rate is not None:
            return self._n_released / self._rate
        if self.speed is None or math.isnan(t):
            return 0.0
        if math.isnan(self._first_time):
            self._first_time = t
        return (t - self._first_time) / self.speed

    def wait(self, t: float) -> Iterator[Sequence[Event]]:
        """Wait until the row recorded at `t` is due, yielding an empty list every 0.1 s."""
        if not self.active:
            return
        if self._began is None:
            self._began = time.monotonic()
        due = self._began + self.due(t)
        while (left := due - time.monotonic()) > 0:
            time.sleep(min(left, _TICK))
            if left > _TICK:
                yield []
        self._n_released += 1


class NumberedSource(Source):
    """A source whose position is the number of rows that were read.

    Iterating again continues at the position.
    """

    guarantee = "exactly once (resumes from the row number)"
    on_bad = "stop"  # a recording can be repaired and read again
    n_rows: int | None = None  # total, if known beforehand
    schema: Schema | None = None

    def __init__(self, name: str, schema: Schema | None = None, pace: Pace | None = None) -> None:
        self.name = name
        self.schema = schema
        self._pace = pace or Pace()
        self._row = 0

    @property
    def progress(self) -> float | None:
        """Share of the rows that was read; None if their number is not known."""
        return self._row / self.n_rows if self.n_rows else None

    @property
    def position(self) -> Position:
        """``{"row": n}``: n rows were read."""
        return {"row": self._row}

    def seek(self, position: Position) -> None:
        """Go to ``{"row": n}``."""
        self._row = parse_row_number(self.name, position)


def parse_row_number(name: str, position: Position) -> int:
    """Return the row number in a position.

    Raises
    ------
    SourceError
        It is the position of another kind of source.
    """
    row = position.get("row")
    if not isinstance(row, int) or isinstance(row, bool) or row < 0:
        raise SourceError(
            f"`position` of {name} must be {{'row': n}} with n >= 0, got {dict(position)!r}"
        )
    return row


def check_rows_read(path: object, n_read: int, n_rows: int) -> None:
    """Check that a recording still has the rows that were read.

    Raises
    ------
    SourceError
        It has fewer.
    """
    if n_rows < n_read:
        raise SourceError(
            f"{path} must be the file that was read before, with at least {n_read:,} rows, "
            f"got {n_rows}"
        )


class RowSource(NumberedSource):
    """A numbered source that yields single rows."""

    @abstractmethod
    def _rows(self, start: int) -> Iterator[SourceRow | LateLabel | None]:
        """Yield the rows from number `start` on; None for a row that is left out."""

    def read_blocks(self) -> Iterator[Item]:
        """Yield the rows from the position on, in blocks if they are at hand."""
        is_at_hand = not self.is_live and not self._pace.active
        return join_rows(iter(self)) if is_at_hand else iter(self)

    def __iter__(self) -> Generator[Item]:
        """Yield the rows from the position on, and empty lists while a paced row is not due."""
        pace = self._pace
        for row in self._rows(self._row):
            if row is None:
                self._row += 1
                yield []
                continue
            if pace.active and isinstance(row, SourceRow):
                yield from pace.wait(row.t)
            self._row += 1
            yield event_of(row, self._row - 1, self.name)
