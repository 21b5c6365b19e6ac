"""Tables in text that is still being written, as sources: pipes, standard input, growing files."""

from __future__ import annotations

import math
import threading
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import IO, Any

from loco_stream.connectors.bad_rows import BadRows
from loco_stream.connectors.follow import FollowedFile, Place, first_line
from loco_stream.connectors.live_text import Background, is_stream, open_stream
from loco_stream.connectors.rows import Pace
from loco_stream.connectors.table import PEEK, TableSource
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Sample

__all__ = ["LONGEST_LINE", "LiveRows"]

LONGEST_LINE = 8 << 20  # characters: 4096 numbers take a hundredth of it
_FIRST = 1.0  # seconds after the first row in which further ones may tell what the labels are
_PIPE = "at most once: a pipe is read as it comes, and what was in it when the engine died is gone"
_FOLLOW = (
    "exact: every row once, resumed at its byte of its file, also when files were rotated meanwhile"
)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A record, the line it begins in, the place behind it, and what had been left out before it."""

    record: Mapping[str, Any]
    line: str
    place: Place | None
    skipped: dict[str, int]


class LiveRows(TableSource):
    """The rows of a pipe or of a growing file; subclasses read records from lines.

    A thread waits for them, so that a stop is honoured. The first rows that come, within a second
    of the first one and at most 1000, tell what the labels are.
    """

    path: Path
    _encoding = "utf-8-sig"
    _live = ""  # "pipe", "follow", or nothing for a file that is all there
    _idle = math.inf
    _stop: threading.Event
    _pipe: IO[str] | None = None
    _followed: FollowedFile | None = None
    _background: Background | None = None
    _place: Place | None = None  # of a file that grows, behind the last row
    _reading: BadRows | None = None  # counts for the thread, which reads ahead
    _told: Mapping[str, int] = {}  # what it had counted up to the last row
    _gaps = 0
    _loss = ""

    def _go_live(self, follow: bool, idle: float | None, pace: Pace) -> bool:
        """Decide how the path is read; True where it cannot be read twice."""
        self._live = "pipe" if is_stream(self.path) else "follow" if follow else ""
        if idle is not None and not idle > 0:
            raise ConfigError(f"idle must be > 0, not {idle!r}")
        if not self._live:
            if idle is not None:
                raise ConfigError(
                    f"idle ends a stream, and {self.path} ends by itself: add follow=1, or leave it out"
                )
            return False
        self._idle = math.inf if idle is None else idle
        if follow and self._live == "pipe":
            raise ConfigError(
                f"follow=1 is for a file that grows, and {self.path} is a pipe: leave it out"
            )
        if follow and self.path.suffix == ".gz":
            raise ConfigError(
                f"follow=1 cannot read {self.path}: what is compressed does not grow line by line"
            )
        if follow and "\n".encode(self._encoding.removesuffix("-sig")) != b"\n":
            raise ConfigError(
                f"follow=1 cannot read {self._encoding}, in which the end of a line has several bytes"
            )
        if pace.active:
            raise ConfigError(
                f"rate and speed replay a recording, and {self.path} is read as it comes"
            )
        self._stop = threading.Event()
        self.is_live = True
        self.guarantee = _PIPE if self._live == "pipe" else _FOLLOW
        if self._live == "pipe":
            self._pipe = open_stream(self.path, self._stop, self._encoding)
        return True

    def _first_text(self) -> IO[str]:
        """Return what begins with the header; of a file that grows, a copy of its first line."""
        return self._pipe or StringIO(first_line(self.path, LONGEST_LINE, self._encoding))

    @abstractmethod
    def _parsed(self, file: IO[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the records that follow in `file`, whose header has been read."""

    def _arriving(self, start: int, header: str) -> Iterator[_Arrived]:
        """Yield records as they come."""
        file: Any = self._pipe
        if file is None:
            encoding = self._encoding.removesuffix("-sig")
            file = self._followed = FollowedFile(
                self.path,
                self._stop,
                self._place,
                header=header,
                encoding=encoding,
                on_loss=self._miss,
            )
        skip = (
            start if self._followed is not None and self._place is None else 0
        )  # read before anybody followed
        for number, record in enumerate(self._parsed(file)):
            if number >= skip:
                place = None if self._followed is None else self._followed.place
                yield _Arrived(record, self.location, place, self._left_out_so_far())

    def _left_out_so_far(self) -> dict[str, int]:
        return dict(self._reading.counts) if self._reading else {}

    def _miss(self, sentence: str) -> None:
        self._gaps += 1
        self._loss = sentence

    @property
    def stats(self) -> dict[str, int]:
        """Number of files that were gone before they were read to their end."""
        return {"gaps": self._gaps} if self._live == "follow" else {}

    @property
    def skipped(self) -> dict[str, int]:
        """Bad rows that were left out, by kind."""
        return dict(Counter(super().skipped) + Counter(self._told))

    @property
    def last_error(self) -> str:
        """The last sentence said about a bad row, or about a file that was missed.

        Empty if there was none.
        """
        return self._loss or super().last_error or (self._reading.last if self._reading else "")

    def _live_events(self, header: str = "") -> Iterator[Event | Sequence[Event]]:
        """Yield rows as they come, and empty lists while none does."""
        if self._background is None:
            self._stop.clear()
            # what was read ahead is read again
            self._reading = BadRows(self._bad.on_bad)
            self._told = {}
            self._background = Background(self._arriving(self._row, header), self._stop)
        heard = time.monotonic()
        try:
            for taken in (
                _begun(self._background) if self._schema_is_open else _batches(self._background)
            ):
                if taken:
                    heard = time.monotonic()
                    yield from self._events(taken)
                elif time.monotonic() - heard >= self._idle:
                    return
                else:
                    self._told = self._left_out_so_far()
                    yield []
            self._told = self._left_out_so_far()
            if self._row == 0:
                raise SourceError(f"{self.path} ended before the first row")
        finally:
            if self._live == "follow":
                self._leave()

    def _events(self, arrived: Sequence[_Arrived]) -> Iterator[Event | Sequence[Event]]:
        if self._schema_is_open:
            self._judge_first([one.record for one in arrived])
        for one in arrived:
            row = self._row_of(one.record, one.line)
            self._row = self._row + 1
            self._place = one.place
            self._told = one.skipped
            if row is None:
                yield []
            else:
                yield Sample(row.x, row.y, self._row - 1, row.t, self.name, row.sequence)

    @property
    def _schema_is_open(self) -> bool:
        return self._away is None

    def _judge_first(self, records: Sequence[Mapping[str, Any]]) -> None:
        columns = list(dict.fromkeys(name for record in records for name in record))
        target = (
            "y" if self._target is None else self._target
        )  # lines of {"x": ..., "y": ...} need no name
        self._judge(columns, [record.get(target) for record in records])

    @property
    def position(self) -> dict[str, Any]:
        """``{"row": n}``: n rows were handed out.

        Of a file that grows, also the place in it and the labels' kind.
        """
        place = {} if self._place is None else {"file": asdict(self._place), "label": self._label}
        return {**super().position, **place}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go to a position; a pipe goes on with what comes next."""
        super().seek(position)
        self._leave()
        if self._live != "follow" or "file" not in position:
            return
        try:
            self._place = Place(**{name: int(number) for name, number in position["file"].items()})
        except (AttributeError, TypeError, ValueError):
            raise SourceError(
                f"{self.name} resumes at a place in a file, not at {dict(position)!r}"
            ) from None
        self._label = str(position.get("label", ""))

    def _leave(self) -> None:
        """End the thread: what it read ahead is read again."""
        if self._background is not None and self._live == "follow":
            self._background.close()
            self._background = None
        if self._followed is not None:
            self._followed.close()
            self._followed = None

    def close(self) -> None:
        """End the thread, and close the pipe or the file."""
        self._leave()
        if self._background is not None:
            self._background.close()
            self._background = None
        if self._pipe is not None:
            self._pipe.close()
        super().close()


def _batches(background: Background) -> Iterator[list[Any]]:
    while (taken := background.take()) is not None:
        yield taken


def _begun(background: Background) -> Iterator[list[Any]]:
    """Yield the first records together, those that come within a second, and then all further ones as they come."""
    first: list[Any] = []
    until = math.inf
    for taken in _batches(background):
        first += taken
        if first and until == math.inf:
            until = time.monotonic() + _FIRST
        if len(first) >= PEEK or time.monotonic() >= until:
            yield first
            yield from _batches(background)
            return
        if not first:
            yield []
    yield first
