"""The commits of any source, each with the position after it."""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from loco_stream.engine.beside import beside
from loco_stream.engine.model_adapter import plain
from loco_stream.errors import InputError, SourceError
from loco_stream.stream import Ask, Block, Event, Labels, Sample, Schema, Source

__all__ = ["PairSource", "SourceReader", "as_source", "cut", "head", "n_rows", "tail"]

Commit = tuple[Sequence[Event], dict[str, Any]]
_WITHIN = "within"
_BESIDE = "beside"
_MOST_AHEAD = 4_000_000  # values
_TICK = 0.05


class PairSource:
    """Any iterable of (x, y) pairs or events as a source; it resumes by skipping rows.

    Parameters
    ----------
    pairs
        For example a data set of river, or a generator.
    """

    guarantee = "rows come from this process, in order, each once"

    def __init__(self, pairs: Iterable[Any]) -> None:
        self.name = type(pairs).__name__
        self._pairs = pairs
        self._row = 0

    @property
    def schema(self) -> Schema | None:
        """Nothing is known before the first row, unless the pairs are a data set of river."""
        task = getattr(self._pairs, "task", None)
        return (
            Schema(task="regression" if task == "Regression" else "classification")
            if isinstance(task, str)
            else None
        )

    @property
    def position(self) -> dict[str, Any]:
        """Rows handed out."""
        return {"row": self._row}

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield the rows from the position on."""
        for item in islice(iter(self._pairs), self._row, None):
            self._row += 1
            yield self._event(item)

    def _event(self, item: Any) -> Event:
        if isinstance(item, Sample | Block | Labels | Ask):
            return item
        if not isinstance(item, Sequence) or len(item) != 2 or not isinstance(item[0], Mapping):
            raise InputError(
                f"a source must yield (x, y) pairs with x a dict, or events, but row {self._row - 1} is {item!r:.80}"
            )
        return Sample(item[0], plain(item[1]), self._row - 1, source=self.name)

    def seek(self, position: Mapping[str, Any]) -> None:
        """Skip the rows before the position."""
        if not isinstance(position.get("row"), int):
            raise SourceError(f"{self.name} resumes at {{'row': n}}, not at {dict(position)!r}")
        self._row = position["row"]

    def ack(self, position: Mapping[str, Any]) -> None:
        """Nobody waits for it."""

    def reply(self, event: Event, values: Any, classes: Sequence[Any]) -> None:
        """Nobody asked."""

    def close(self) -> None:
        """Nothing is open."""


def as_source(source: Any) -> Source:
    """Return a source as it is, and wrap any other iterable."""
    if isinstance(source, Source):
        return source
    if not isinstance(source, Iterable):
        raise SourceError(
            f"source must be a Source or an iterable of (x, y) pairs, not {type(source).__name__}"
        )
    return PairSource(source)


class SourceReader:
    """Reads a source commit by commit; the first ones may be read ahead to learn what they hold."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.start: dict[str, Any] = copy.copy(source.position)
        self._iterator: Iterator[Event | Sequence[Event]] | None = None
        self._ahead: deque[Commit] = deque()
        self._beside: dict[str, Any] = {}  # what an earlier run learned beside the source
        self._live = hasattr(
            source, "stats"
        )  # rows come when they come; reading a recording is work
        self.waited = 0.0  # seconds that nothing came in

    @property
    def ahead(self) -> deque[Commit]:
        """The commits that were read and are not handed out yet."""
        return deque(self._ahead)

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go to a position; what was read ahead is read again."""
        self.close()
        within, self._beside = _parts(position)
        self.source.seek(within)
        if hasattr(self.source, "restore_beside"):
            self.source.restore_beside(self._beside)

    def ack(self, position: Mapping[str, Any]) -> None:
        """Tell the source that everything up to a position is learned and durable."""
        self.source.ack(_parts(position)[0])

    def peek(self) -> Commit | None:
        """Read one commit ahead; None at the end."""
        commit = self._read()
        if commit is not None:
            self._ahead.append(commit)
        return commit

    def next(self) -> Commit | None:
        """Return the next commit and the position after it; None at the end."""
        began = time.perf_counter()
        commit = self._ahead.popleft() if self._ahead else self._read()
        if commit is not None and (self._live or not commit[0]):
            self.waited += time.perf_counter() - began
        return commit

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Let a thread read on while the block runs, so that a live source answers its peers.

        At the end it is over.

        What was read is handed out by `next`; of rows, so many are read that they do not fill the
        memory.

        Raises
        ------
        SourceError
            The source could not be read.
        """
        failures: list[Exception] = []
        with beside(partial(self._read_ahead, failures), "reading ahead"):
            yield
        for failure in failures:
            raise failure

    def _read_ahead(self, failures: list[Exception], over: threading.Event) -> None:
        values = 0
        try:
            while not over.is_set():
                commit = self._read() if values < _MOST_AHEAD else None
                if commit is None:
                    over.wait(_TICK)
                elif commit[0]:
                    values += sum(map(_n_values, commit[0]))
                    self._ahead.append(commit)
        except Exception as error:
            failures.append(error)

    def rest(self, seconds: float) -> None:
        """Wait: the stream has ended."""
        time.sleep(seconds)
        self.waited += seconds

    def close(self) -> None:
        """Leave the iteration; the source itself stays open."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()
        self._iterator = None
        self._ahead.clear()

    def _read(self) -> Commit | None:
        if self._iterator is None:
            self._iterator = iter(self.source)
        for item in self._iterator:
            events = [item] if isinstance(item, Sample | Block | Labels | Ask) else item
            return events, self._position()
        return None

    def _position(self) -> dict[str, Any]:
        """Return the source's position, with what was learned beside it if there is anything."""
        position = copy.copy(self.source.position)
        beside = (
            self.source.export_beside() if hasattr(self.source, "export_beside") else self._beside
        )
        return {_WITHIN: position, _BESIDE: beside} if beside else position


def _parts(position: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return a source's own position, and what was learned beside it."""
    if position.keys() == {_WITHIN, _BESIDE}:
        return position[_WITHIN], dict(position[_BESIDE])
    return position, {}


def _n_values(event: Event) -> int:
    if isinstance(event, Sample):
        return len(event.x)
    return len(event.of) if isinstance(event, Labels) else event.X.size


def n_rows(event: Event) -> int:
    """Rows to learn that an event brings."""
    if isinstance(event, Block):
        return len(event.X)
    return int(isinstance(event, Sample))


def head(events: Sequence[Event], rows: int) -> list[Event]:
    """Return the events up to the given number of rows; a block is cut."""
    taken: list[Event] = []
    for event in events:
        if rows <= 0:
            break
        size = n_rows(event)
        taken.append(event if size <= rows else cut(event, 0, rows))
        rows -= size
    return taken


def tail(events: Sequence[Event], rows: int) -> list[Event]:
    """Return the events after the first `rows` rows."""
    left: list[Event] = []
    for event in events:
        size = n_rows(event)
        if rows <= 0:
            left.append(event)
        elif size > rows:
            left.append(cut(event, rows, size))
        rows = max(rows - size, 0)
    return left


def cut(event: Event, begin: int, end: int) -> Block:
    """Return the rows `begin` to `end` of a block."""
    assert isinstance(event, Block)
    rows = slice(begin, end)
    y = None if event.y is None else event.y[rows]
    times = None if event.times is None else event.times[rows]
    return replace(
        event,
        X=event.X[rows],
        y=y,
        seq=event.seq + begin,
        t=event.t if times is None or not len(times) else float(times[0]),
        times=times,
        sequence=None if event.sequence is None else event.sequence[rows],
    )
