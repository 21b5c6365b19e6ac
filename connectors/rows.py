"""The part that sources with numbered rows share: position, resume, pace."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Position, Sample, Schema, Source

__all__ = ["TASKS", "NumberedSource", "Pace", "Row", "RowSource", "check_task"]

TASKS = ("classification", "regression")


class Row(NamedTuple):
    """A row by name, its label, its event time and the id of the event that it is of."""

    x: Mapping[Any, Any]
    y: Any
    t: float = math.nan
    sequence: Hashable = None


def check_task(task: str | None) -> str | None:
    """Return `task` itself if it is one of the two, or None."""
    if task is not None and task not in TASKS:
        raise ConfigError(f"task must be 'classification' or 'regression', not {task!r}")
    return task


class Pace:
    """When a replayed row may leave.

    As fast as it is read, at `rate` rows/s, or as recorded times 1/`speed`.

    Waits return every 0.1 s, so that the engine can honour a signal.
    """

    def __init__(self, rate: float | None = None, speed: float | None = None) -> None:
        for field, value in (("rate", rate), ("speed", speed)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ConfigError(f"{field} must be a number > 0, not {value!r}")
        if rate is not None and speed is not None:
            raise ConfigError(
                "give rate (rows a second) or speed (a multiple of the recorded one), not both"
            )
        self.rate = rate
        self.speed = speed
        self._begin: float | None = None
        self._sent = 0
        self._first = math.nan

    @property
    def active(self) -> bool:
        """Whether rows ever wait."""
        return self.rate is not None or self.speed is not None

    def due(self, t: float) -> float:
        """Return the seconds after the start at which the next row, recorded at `t`, leaves."""
        if self.rate is not None:
            return self._sent / self.rate
        if self.speed is None or math.isnan(t):
            return 0.0
        if math.isnan(self._first):
            self._first = t
        return (t - self._first) / self.speed

    def wait(self, t: float) -> Iterator[Sequence[Event]]:
        """Yield empty lists until the row recorded at `t` is due."""
        if not self.active:
            return
        if self._begin is None:
            self._begin = time.monotonic()
        due = self._begin + self.due(t)
        while (left := due - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            if left > 0.1:
                yield []
        self._sent += 1


class NumberedSource(Source):
    """A source whose position is the number of rows handed out.

    Iterated again, it goes on from there.
    """

    guarantee = "exact: every row once, resumed at its row number"
    on_bad = "stop"  # what cannot be learned ends the run: a recording can be mended and read again
    n_rows: int | None = None  # in all, where that is known without reading them

    def __init__(self, name: str, schema: Schema | None = None, pace: Pace | None = None) -> None:
        self.name = name
        self._schema = schema
        self._pace = pace or Pace()
        self._row = 0

    @property
    def progress(self) -> float | None:
        """How much of the stream was handed out, from 0 to 1; None where nobody knows."""
        return self._row / self.n_rows if self.n_rows else None

    @property
    def schema(self) -> Schema | None:
        """What is known of the rows before the first one."""
        return self._schema

    @property
    def position(self) -> Position:
        """``{"row": n}``: n rows were handed out."""
        return {"row": self._row}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go to ``{"row": n}``; a position of another kind of source is refused."""
        row = position.get("row")
        if not isinstance(row, int) or isinstance(row, bool) or row < 0:
            raise SourceError(
                f"{self.name} resumes at {{'row': n}} with n >= 0, not at {dict(position)!r}"
            )
        self._row = row


class RowSource(NumberedSource):
    """A numbered source that hands out single rows; subclasses say which."""

    @abstractmethod
    def _rows(self, start: int) -> Iterator[Row | None]:
        """Yield the rows from number `start` on, None for one that is left out."""

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield the rows from the position on, and empty lists while a paced row is not due."""
        pace = self._pace
        for row in self._rows(self._row):
            if row is None:
                self._row += 1
                yield []
                continue
            if pace.active:
                yield from pace.wait(row.t)
            self._row += 1
            yield Sample(row.x, row.y, self._row - 1, row.t, self.name, row.sequence)
