"""Records of a text that is still being written: pipes, standard input, growing files."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeAlias

from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.file_follower import FileCursor, FileFollower, first_line
from loco_stream.connectors._base.lines import MAX_LINE, FollowedLines, Lines, TextLines, shown_path
from loco_stream.connectors._base.numbered_source import Pace
from loco_stream.connectors._base.pipe_reader import BackgroundIterator, is_pipe, open_pipe
from loco_stream.errors import ConfigError

PIPE_GUARANTEE = "at most once (rows in the pipe are lost if the engine dies)"
FOLLOW_GUARANTEE = "exactly once (resumes from the byte in the file, also after rotation)"

Record: TypeAlias = Mapping[str, Any]
Numbered: TypeAlias = Iterator[tuple[int, Record]]
"""The records in lines, each with the number of its first line."""
Parse: TypeAlias = Callable[[Lines, BadRows], Numbered]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record as it was read.

    Parameters
    ----------
    record
        The record.
    line
        Number of its first line.
    cursor
        Position after it in a growing file.
    skipped
        Bad rows up to it, by kind.
    header
        Header line that it is below, if the format has one.
    """

    record: Record
    line: int
    cursor: FileCursor | None
    skipped: Mapping[str, int]
    header: str = ""


class TailReader:
    """Reads records in a thread, so that a stop takes effect while none arrives.

    Parameters
    ----------
    path
        Pipe or growing file.
    encoding
        Of the text.
    idle
        Seconds without a record after which the text ends.

    Attributes
    ----------
    guarantee
        One sentence on delivery.
    cursor
        Where to continue in a growing file; set by the source as it yields rows.
    ended
        Whether the text has ended.
    n_gaps, loss
        Number of files that were gone before they were read to their end, and a sentence on the
        last one.
    """

    def __init__(self, path: Path, encoding: str, idle: float) -> None:
        self.path = path
        self._encoding = encoding
        self._idle = idle
        self._stop = threading.Event()
        self._pipe = open_pipe(path, self._stop, encoding) if is_pipe(path) else None
        self.is_growing = self._pipe is None
        self.guarantee = FOLLOW_GUARANTEE if self.is_growing else PIPE_GUARANTEE
        self.cursor: FileCursor | None = None
        self.ended = False
        self.n_gaps = 0
        self.loss = ""
        self._follower: FileFollower | None = None
        self._thread: BackgroundIterator[Arrival] | None = None
        self._bad = BadRows("skip")  # of the thread, which reads ahead

    def first_lines(self) -> Lines:
        """Return lines that begin with the header of a CSV file; none if it is to be waited for."""
        if self._pipe is not None:
            return TextLines(self.path, self._pipe)
        return TextLines(self.path, StringIO(first_line(self.path, MAX_LINE, self._encoding)))

    def batches(self, parse: Parse, n_done: int, on_bad: str) -> Generator[list[Arrival]]:
        """Yield records as they arrive, and an empty list while none does.

        Parameters
        ----------
        parse
            Parses lines.
        n_done
            Number of records that were read before.
        on_bad
            What a bad row does.
        """
        if self._thread is None:
            self._stop.clear()
            self._bad = BadRows(on_bad)  # what was read ahead is read again
            arrivals = self._arrivals(parse, n_done)
            self._thread = BackgroundIterator(arrivals, self._stop)
        last = time.monotonic()
        try:
            while (taken := self._thread.take()) is not None:
                if taken:
                    last = time.monotonic()
                elif time.monotonic() - last >= self._idle:
                    return
                yield taken
            self.ended = True
        finally:
            if self.is_growing:
                self.stop()

    def _arrivals(self, parse: Parse, n_done: int) -> Iterator[Arrival]:
        """Yield records as they arrive; runs in the thread."""
        follower = self._open_follower()
        if follower is not None:
            lines: Lines = FollowedLines(self.path, follower)
        else:
            assert self._pipe is not None
            lines = TextLines(self.path, self._pipe)
        # Without a cursor the rows before were read by a run that did not follow the file.
        n_skip = n_done if follower is not None and self.cursor is None else 0
        for number, (line, record) in enumerate(parse(lines, self._bad)):
            if number >= n_skip:
                cursor = None if follower is None else follower.cursor
                yield Arrival(record, line, cursor, self.skipped, lines.header)

    def _open_follower(self) -> FileFollower | None:
        if self.is_growing:
            self._follower = FileFollower(
                self.path,
                self._stop,
                self.cursor,
                encoding=self._encoding.removesuffix("-sig"),
                on_loss=self._note_loss,
            )
        return self._follower

    def _note_loss(self, sentence: str) -> None:
        self.n_gaps += 1
        self.loss = sentence

    @property
    def skipped(self) -> Mapping[str, int]:
        """Bad rows that the thread has left out so far, by kind."""
        return dict(self._bad.counts)

    @property
    def last_error(self) -> str:
        """Description of the most recent bad row."""
        return self._bad.last

    def stop(self) -> None:
        """End the thread; what it read ahead of a growing file will be read again."""
        if self._thread is not None and self.is_growing:
            self._thread.close()
            self._thread = None
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def close(self) -> None:
        """End the thread, and close the pipe or file."""
        self.stop()
        if self._thread is not None:
            self._thread.close()
            self._thread = None
        if self._pipe is not None:
            self._pipe.close()


def open_tail(
    path: Path, encoding: str, *, follow: bool, idle: float | None, pace: Pace
) -> TailReader | None:
    """Return a reader if the path is a pipe, or a file to follow; None for a recording.

    Raises
    ------
    ConfigError
        The options do not go together.
    """
    pipe = is_pipe(path)
    if idle is not None and not idle > 0:
        raise ConfigError(f"`idle` must be above 0 seconds, got {idle!r}")
    if not pipe and not follow:
        if idle is not None:
            raise ConfigError(
                f"`idle` must not be given, as {path} ends by itself without `follow`"
            )
        return None
    if follow:
        _check_follow(path, encoding, pipe)
    if pace.active:
        raise ConfigError(
            f"`rate` and `speed` must not be given, as {shown_path(path)} is read while it is "
            "written"
        )
    return TailReader(path, encoding, math.inf if idle is None else idle)


def _check_follow(path: Path, encoding: str, pipe: bool) -> None:
    if pipe:
        raise ConfigError(f"`follow` must not be given for a pipe, got {shown_path(path)}")
    if path.suffix == ".gz":
        raise ConfigError(f"`follow` needs a file that grows line by line, got compressed {path}")
    if "\n".encode(encoding.removesuffix("-sig")) != b"\n":
        raise ConfigError(
            f"`follow` needs an encoding whose line end is one byte, got {encoding!r}"
        )
