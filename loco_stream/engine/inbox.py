"""Rows that come in beside the source of a running engine.

Admitted, logged, learned and kept as any others.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from loco_stream.engine.numbered import NumberedRows
from loco_stream.errors import SourceError
from loco_stream.stream import Event, Sample, Schema, Source

__all__ = ["FullError", "Inbox", "WithInbox"]

_ROWS = 4096  # that may wait
_TICK = 0.05


class FullError(Exception):
    """So many rows wait that no more are taken."""


@dataclass(slots=True)
class Handed:
    """What one request handed in.

    Rows, the client's name for their source if it numbers them, whom to tell.
    """

    rows: list[Sample]
    source: str | None
    done: Future[int]


class Inbox:
    """Labelled rows from other threads, in the order they came.

    Parameters
    ----------
    name
        The source under which the rows are known, or, with a slash, the begin of its name where a
        client gives one. Rows without a number go on from the clock's microseconds, so that those
        of a later process never have the numbers of an earlier one.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._seq = int(time.time() * 1e6)
        self._waiting: deque[Handed] = deque()
        self._rows = 0
        self._came = threading.Condition()

    def put(
        self, rows: Sequence[tuple[Mapping[Any, Any], Any]], source: str | None = None, seq: int = 0
    ) -> Future[int]:
        """Hand in rows and their labels.

        The future has the number of those that were new, once they are durable.

        With a `source`, the rows are numbered from `seq` on, and none is learned twice.

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
            name = self.name if source is None else f"{self.name}/{source}"
            first = self._seq if source is None else seq
            samples = [Sample(x, y, first + i, now, name) for i, (x, y) in enumerate(rows)]
            self._seq += len(rows) if source is None else 0
            self._rows += len(rows)
            self._waiting.append(Handed(samples, source, done))
            self._came.notify()
        return done

    def take(self, seconds: float = 0.0) -> list[Handed]:
        """Return all that waits; waits so long for something to come."""
        with self._came:
            if seconds:
                self._came.wait_for(lambda: self._waiting, seconds)
            taken = list(self._waiting)
            self._waiting = deque()
            self._rows = 0
        return taken


class WithInbox:
    """A source with an inbox beside it.

    Between two commits of the source, what waits in the inbox is a commit of its own, which leaves
    the source's position as it is: a checkpoint can be resumed without the inbox. Its rows come
    once, so the log has to keep them.

    Parameters
    ----------
    source
        Where the other rows come from; all that is asked of this source is answered by that one.
    inbox
        Where threads put rows.
    """

    needs_log = True

    def __init__(self, source: Source, inbox: Inbox) -> None:
        self._source = source
        self._inbox = inbox
        self.name = source.name
        self.guarantee = source.guarantee
        self._known = NumberedRows()
        self._handed: deque[list[Handed] | None] = (
            deque()
        )  # whom each commit is for, oldest first; None: the source's

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
        """Yield the source's commits and the inbox's.

        When the source has ended, those of the inbox alone.
        """
        self._handed.clear()
        for item in self._source:
            if not isinstance(item, Sequence) or item:
                self._handed.append(None)
            yield item
            # not before: the source's position is already behind its item
            yield from self._inside()
        while True:
            yield from self._inside(_TICK)
            yield []

    def _inside(self, seconds: float = 0.0) -> Iterator[Sequence[Event]]:
        handed = [one for one in self._inbox.take(seconds) if self._leave_known(one)]
        events = [row for one in handed for row in one.rows]
        if events:
            self._handed.append(handed)
            yield events
        elif (last := next((one for one in reversed(self._handed) if one), None)) is not None:
            last += handed  # repeats of rows that may be on their way
        else:
            _tell(handed)

    def _leave_known(self, handed: Handed) -> bool:
        """Leave out rows that came before.

        False if nobody knows whether they did, which the future then tells.
        """
        if handed.source is None:
            return True
        before = self._known.export_state()
        try:
            handed.rows = [row for row in handed.rows if self._known.take(handed.source, row.seq)]
        except SourceError as error:
            self._known.restore_state(before)
            handed.done.set_exception(error)
            return False
        return True

    def export_beside(self) -> dict[str, Any]:
        """Return which numbered rows were handed out."""
        return self._known.export_state()

    def restore_beside(self, state: Mapping[str, Any]) -> None:
        """Continue from `export_beside`."""
        self._known.restore_state(state)

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go to a position of the source."""
        self._source.seek(position)

    def ack(self, position: Mapping[str, Any]) -> None:
        """Tell whose commit is learned and durable."""
        handed = self._handed.popleft() if self._handed else None
        if handed is None:
            self._source.ack(position)
        else:
            _tell(handed)

    def reply(self, event: Event, values: Any, classes: Sequence[Any]) -> None:
        """Answer by the source; nobody in the inbox asks."""
        self._source.reply(event, values, classes)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _tell(handed: Sequence[Handed]) -> None:
    for one in handed:
        one.done.set_result(len(one.rows))
