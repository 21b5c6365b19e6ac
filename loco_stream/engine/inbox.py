"""Rows that come in beside the source of a running engine: admitted, logged, learned and kept as any others."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from loco_stream.stream import Event, Sample, Schema, Source

__all__ = ["FullError", "Inbox", "WithInbox"]

_ROWS = 4096  # that may wait
_TICK = 0.05


class FullError(Exception):
    """So many rows wait that no more are taken."""


class Inbox:
    """Labelled rows from other threads, in the order they came.

    Parameters
    ----------
    name
        The source under which the rows are known. Their numbers go on from the clock's microseconds, so that rows of
        a later process never have the numbers of an earlier one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._seq = int(time.time() * 1e6)
        self._waiting: deque[tuple[list[Sample], Future[int]]] = deque()
        self._rows = 0
        self._came = threading.Condition()

    def put(self, rows: Sequence[tuple[Mapping[Any, Any], Any]]) -> Future[int]:
        """Hand in rows and their labels; the future has their number when they are learned and logged.

        Raises
        ------
        FullError
            4096 rows wait.
        """
        done: Future[int] = Future()
        with self._came:
            if self._rows + len(rows) > _ROWS:
                raise FullError(f"{self._rows} rows wait to be learned; try again later")
            now = time.time()
            samples = [Sample(x, y, self._seq + i, now, self.name) for i, (x, y) in enumerate(rows)]
            self._seq += len(rows)
            self._rows += len(rows)
            self._waiting.append((samples, done))
            self._came.notify()
        return done

    def take(self, seconds: float = 0.0) -> tuple[list[Event], list[Future[int]]]:
        """Return all that waits, and whom to tell; waits so long for something to come."""
        with self._came:
            if seconds:
                self._came.wait_for(lambda: self._waiting, seconds)
            taken, self._waiting, self._rows = list(self._waiting), deque(), 0
        return [sample for samples, _ in taken for sample in samples], [done for _, done in taken]


class WithInbox:
    """A source with an inbox beside it.

    Between two commits of the source, what waits in the inbox is a commit of its own, which leaves the source's
    position as it is: a checkpoint can be resumed without the inbox. Its rows come once, so the log has to keep them.

    Parameters
    ----------
    source
        Where the other rows come from; all that is asked of this source is answered by that one.
    inbox
        Where threads put rows.
    """

    needs_log = True

    def __init__(self, source: Source, inbox: Inbox) -> None:
        self._source, self._inbox = source, inbox
        self.name, self.guarantee = source.name, source.guarantee
        self._handed: deque[list[Future[int]]] = deque()  # whom each commit is for, oldest first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def schema(self) -> Schema | None:
        """The source's."""
        return self._source.schema

    @property
    def position(self) -> dict[str, Any]:
        """The source's."""
        return self._source.position

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield the source's commits and the inbox's; when the source has ended, those of the inbox alone."""
        self._handed.clear()
        for item in self._source:
            if not isinstance(item, Sequence) or item:
                self._handed.append([])
            yield item
            yield from self._inside()  # not before: the source's position is already behind its item
        while True:
            yield from self._inside(_TICK)
            yield []

    def _inside(self, seconds: float = 0.0) -> Iterator[Sequence[Event]]:
        events, futures = self._inbox.take(seconds)
        if events:
            self._handed.append(futures)
            yield events

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go to a position of the source."""
        self._source.seek(position)

    def ack(self, position: Mapping[str, Any]) -> None:
        """Tell whose commit is learned and durable."""
        futures = self._handed.popleft() if self._handed else []
        for done in futures:
            done.set_result(1)
        if not futures:
            self._source.ack(position)

    def reply(self, event: Event, values: Any, classes: Sequence[Any]) -> None:
        """Answer by the source; nobody in the inbox asks."""
        if getattr(event, "source", None) != self._inbox.name:
            self._source.reply(event, values, classes)

    def close(self) -> None:
        """Close the source."""
        self._source.close()
