"""Reads any source commit by commit, each with the position after it."""

from __future__ import annotations

import copy
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from loco_stream._joins import Item, join_rows, n_rows
from loco_stream._numbers import is_missing, plain
from loco_stream._problems import OF_RIVER
from loco_stream._text import one_line
from loco_stream.engine._background_thread import background_thread
from loco_stream.engine._row import cut
from loco_stream.engine._unused_log import UnusedLog
from loco_stream.errors import InputError, SourceError
from loco_stream.stream import Block, Event, Labels, Position, Sample, Schema, Source

Commit: TypeAlias = tuple[Sequence[Event], Position]

# Keys of a saved position that has side state.
_WITHIN = "within"
_BESIDE = "beside"
_MAX_VALUES_AHEAD = 4_000_000
_TICK = 0.05


class _InterruptReading(BaseException):
    """Raised by `stop` from a signal handler into a source that waits."""


class PairSource(Source):
    """Any iterable of (x, y) pairs or events as a source; it resumes by skipping rows.

    Rows of a sequence, or of a dataset of river, are read in blocks. Those of another iterable,
    such as a generator, are passed on one by one: the next one may take long to come.

    `pairs`: for example a dataset of river, or a generator.
    """

    guarantee = "exactly once within this process"

    def __init__(self, pairs: Iterable[Any]) -> None:
        self.name = type(pairs).__name__
        self._pairs = pairs
        self._row = 0

    @property
    def schema(self) -> Schema | None:
        """The task of a dataset of river; None for any other iterable."""
        task = getattr(self._pairs, "task", None)
        if not isinstance(task, str):
            return None
        return Schema(task=OF_RIVER.get(task, "classification"))

    @property
    def position(self) -> Position:
        """``{"row": n}``: n rows were read."""
        return {"row": self._row}

    def __iter__(self) -> Generator[Item]:
        """Yield the rows from the position on."""
        for item in islice(iter(self._pairs), self._row, None):
            self._row += 1
            yield self._event(item)

    def read_blocks(self) -> Iterator[Item]:
        """Yield the rows from the position on, in blocks if they are at hand."""
        return join_rows(iter(self)) if _is_at_hand(self._pairs) else iter(self)

    def _event(self, item: Any) -> Event:
        if type(item) is not tuple and isinstance(item, Event):
            return item
        if not _is_pair(item):
            first = item[0] if isinstance(item, Sequence) and item else item
            advice = "; river.stream.iter_array(X, y) yields the pairs of arrays"
            raise InputError(
                "`source` must yield (x, y) pairs with a mapping x, or events, got "
                f"{one_line(f'{item!r:.80}')} as row {self._row - 1:,}"
                f"{advice if hasattr(first, 'ndim') else ''}"
            )
        x, y = item
        # frames hold NaN, NA or NaT where a label is not known
        label = None if is_missing(y) else plain(y)
        return Sample(x, label, self._row - 1, source=self.name)

    def seek(self, position: Position) -> None:
        """Skip the rows before ``{"row": n}``."""
        if not isinstance(position.get("row"), int):
            raise SourceError(
                f"`position` of {self.name} must be {{'row': n}}, got {dict(position)!r}"
            )
        self._row = position["row"]


def _is_pair(item: Any) -> bool:
    is_sequence = type(item) is tuple or isinstance(item, Sequence)
    return is_sequence and len(item) == 2 and isinstance(item[0], (dict, Mapping))


def _is_at_hand(pairs: Iterable[Any]) -> bool:
    """Return whether the next pair never has to be waited for."""
    datasets = sys.modules.get("river.datasets.base")
    is_dataset = datasets is not None and isinstance(pairs, datasets.Dataset)
    return is_dataset or isinstance(pairs, Sequence)


def as_source(source: Any) -> Source:
    """Return a `Source` unchanged, and any other iterable as a `PairSource`.

    Raises `SourceError` if the object is neither, or has the methods of a source without being
    derived from `Source`.
    """
    if isinstance(source, Source):
        return source
    advice = ""
    if isinstance(source, str):
        advice = "; connectors.open_source opens a URL"
    elif _is_frame(source):  # its items are columns or their names
        advice = "; river.stream.iter_frame(X, y) yields the pairs of a frame"
    elif isinstance(source, type):
        raise SourceError(f"`source` must be an object, got the class {source.__name__}")
    elif isinstance(source, Iterable) and not hasattr(source, "ack"):
        return PairSource(source)
    raise SourceError(
        "`source` must be an iterable of (x, y) pairs or derived from "
        f"loco_stream.stream.Source, got {type(source).__name__}{advice}"
    )


def _is_frame(source: object) -> bool:
    if not hasattr(source, "columns"):
        return False
    from loco_stream.estimators._inputs.frames import as_frame

    return as_frame(source) is not None


class SourceReader:
    """Reads a source commit by commit; can read ahead to find out what the stream holds.

    source: the source
    in_blocks: whether to take the rows in blocks where the source has them: for a model that learns
        whole blocks

    Its attributes:
    start: the source's position before the first commit
    is_stopped: whether `stop` was called
    waited: seconds spent waiting for rows. For a source that is not live, reading counts as work.
    """

    def __init__(self, source: Source, *, in_blocks: bool = False) -> None:
        self.source = source
        self._in_blocks = in_blocks
        self.start: Position = copy.copy(source.position)
        self.is_stopped = False
        self.waited = 0.0
        self._waiting_thread: int | None = None
        self._iterator: Iterator[Item] | None = None
        self._ahead: deque[Commit] = deque()
        self._unused = UnusedLog(source)
        # Kept as it was found if this source has no side state: a later run may have one again.
        self._side_state: Mapping[str, Any] = {}

    @property
    def ahead(self) -> deque[Commit]:
        """Commits that were read ahead and not returned yet."""
        return deque(self._ahead)

    def seek(self, position: Position) -> None:
        """Go to a position; commits read ahead are read again."""
        self.close()
        within, self._side_state = _split(position)
        self.source.seek(within)
        self.source.restore_side_state(self._side_state)

    def ack(self, position: Position) -> None:
        """Acknowledge everything up to `position` to the source."""
        self.source.ack(_split(position)[0])

    def peek(self) -> Commit | None:
        """Read one commit ahead; None at the end of the stream, empty if nothing has arrived."""
        commit = self._read()
        if commit is not None and commit[0]:
            self._ahead.append(commit)
        return commit

    def stop(self) -> None:
        """Let `next` return None from now on; may be called from a signal handler or any thread.

        A source that waits is interrupted if the handler runs in its thread; else `next` returns
        after the next rows, or after the source's next empty list.
        """
        self.is_stopped = True
        if self._waiting_thread == threading.get_ident():
            raise _InterruptReading

    def next(self) -> Commit | None:
        """Return the next commit and the position after it; None at the end or after `stop`."""
        if self.is_stopped:
            return None
        began = time.perf_counter()
        self._waiting_thread = threading.get_ident()
        try:
            commit = self._ahead.popleft() if self._ahead else self._read()
        except _InterruptReading:
            return None
        finally:
            self._waiting_thread = None
        if commit is not None and (self.source.is_live or not commit[0]):
            self.waited += time.perf_counter() - began
        return commit

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Read ahead in a thread while the block runs, so that a live source keeps replying.

        The commits are returned by `next`. At most four million values are read.

        Raises `SourceError` if the source could not be read.
        """
        failures: list[Exception] = []
        with background_thread(partial(self._read_ahead, failures), "reading ahead"):
            yield
        for failure in failures:
            raise failure

    def _read_ahead(self, failures: list[Exception], over: threading.Event) -> None:
        values = 0
        try:
            while not over.is_set():
                commit = self._read() if values < _MAX_VALUES_AHEAD else None
                if commit is None:
                    over.wait(_TICK)
                elif commit[0]:
                    values += sum(map(_n_values, commit[0]))
                    self._ahead.append(commit)
        except Exception as error:
            failures.append(error)

    def hold(self, seconds: float, reason: str) -> None:
        """Let the source wait, and report why, while nothing can be acknowledged."""
        self.source.hold(seconds, reason)
        self.waited += seconds

    def rest(self, seconds: float) -> None:
        """Wait after the end of the stream."""
        time.sleep(seconds)
        self.waited += seconds

    def close(self) -> None:
        """End the iteration; the source itself stays open."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()
        self._iterator = None
        self._ahead.clear()

    def _read(self) -> Commit | None:
        if self._iterator is None:
            self._iterator = self.source.read_blocks() if self._in_blocks else iter(self.source)
        for item in self._iterator:
            self._unused.look()
            events = [item] if isinstance(item, Event) else item
            return events, self._position()
        return None

    def _position(self) -> Position:
        """Return the source's position, together with its side state if there is any."""
        position = copy.copy(self.source.position)
        state = self.source.side_state()
        if state is None:
            state = self._side_state
        return {_WITHIN: position, _BESIDE: state} if state else position


def _split(position: Position) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return a source's own position and its side state."""
    if position.keys() == {_WITHIN, _BESIDE}:
        return position[_WITHIN], position[_BESIDE]
    return position, {}


def _n_values(event: Event) -> int:
    if isinstance(event, Sample):
        return len(event.x)
    return len(event.of) if isinstance(event, Labels) else event.X.size


def head(events: Sequence[Event], rows: int) -> list[Event]:
    """Return the events up to the first `rows` rows; a block may be cut."""
    taken: list[Event] = []
    for event in events:
        if rows <= 0:
            break
        size = n_rows(event)
        taken.append(_cut(event, 0, rows) if size > rows else event)
        rows -= size
    return taken


def tail(events: Sequence[Event], rows: int) -> list[Event]:
    """Return the events after the first `rows` rows; a block may be cut."""
    left: list[Event] = []
    for event in events:
        size = n_rows(event)
        if rows <= 0:
            left.append(event)
        elif size > rows:
            left.append(_cut(event, rows, size))
        rows = max(rows - size, 0)
    return left


def _cut(event: Event, begin: int, end: int) -> Block:
    assert isinstance(event, Block)
    return cut(event, begin, end)
