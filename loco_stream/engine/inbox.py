"""Rows that other threads submit to a running engine, beside its source.

They are validated, logged, learned and kept as the rows of the source are.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.engine.deduplicator import Deduplicator
from loco_stream.errors import SourceError
from loco_stream.stream import Event, Labels, Position, Sample, Schema, Source

__all__ = ["Inbox", "InboxFullError", "InboxOnly", "InboxRow", "InboxSource"]

_MAX_ROWS = 4096
_TICK = 0.05

Pair = tuple[Mapping[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A row: values, label (None while unknown), id, event time (None if unknown) and extra."""

    x: Mapping[Any, Any]
    y: Any = None
    id: Any = None
    t: float | None = None
    extra: Mapping[str, Any] | None = None


class InboxFullError(Exception):
    """The inbox holds 4096 rows and accepts no more."""


@dataclass(slots=True)
class _Submission:
    """Rows of one call of `Inbox.put`.

    `source` is the client's name for their stream if it numbers them; `done` gets the number of new
    rows once they are durable.
    """

    rows: list[Event]
    source: str | None
    done: Future[int]


class Inbox:
    """Rows and labels from other threads, in the order of their arrival.

    Parameters
    ----------
    name
        Source name of the rows, or its first part, before a slash, where a client names its own
        stream. Rows without a number are numbered from the clock's microseconds on, so that a later
        process never reuses numbers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._seq = int(time.time() * 1e6)
        self._waiting: deque[_Submission] = deque()
        self._n_rows = 0
        self._arrived = threading.Condition()

    def put(
        self, rows: Sequence[Pair | InboxRow], source: str | None = None, seq: int = 0
    ) -> Future[int]:
        """Submit rows.

        Parameters
        ----------
        rows
            (x, y) pairs, or rows with an id or event time.
        source
            The client's name for its stream. The rows are then numbered from `seq` on, and none is
            learned twice.
        seq
            Number of the first row.

        Returns
        -------
        Future[int]
            The number of rows that were new, once they are durable.

        Raises
        ------
        InboxFullError
            4096 rows wait.
        """
        with self._arrived:
            now = time.time()
            name = self.name if source is None else f"{self.name}/{source}"
            first = self._seq if source is None else seq
            events: list[Event] = []
            for i, row in enumerate(rows):
                given = row if isinstance(row, InboxRow) else InboxRow(*row)
                t = now if given.t is None else given.t
                extra = given.extra
                events.append(
                    Sample(given.x, given.y, first + i, t, name, id=given.id, extra=extra)
                )
            done = self._submit(events, source)
            self._seq += len(rows) if source is None else 0
        return done

    def put_labels(self, ids: Sequence[Any], labels: Sequence[Any]) -> Future[int]:
        """Submit labels of rows by their ids; the result is 1 once they are durable.

        Raises
        ------
        InboxFullError
            4096 rows wait.
        """
        with self._arrived:
            event = Labels(ids, labels, self._seq, self.name, by_id=True)
            done = self._submit([event], None)
            self._seq += len(ids)
        return done

    def _submit(self, events: list[Event], source: str | None) -> Future[int]:
        if self._n_rows + len(events) > _MAX_ROWS:
            raise InboxFullError(f"{self._n_rows} rows wait to be learned; try again later")
        done: Future[int] = Future()
        self._n_rows += len(events)
        self._waiting.append(_Submission(events, source, done))
        self._arrived.notify()
        return done

    def take(self, seconds: float = 0.0) -> list[_Submission]:
        """Return everything that waits; wait up to `seconds` if there is nothing."""
        with self._arrived:
            if seconds:
                self._arrived.wait_for(lambda: self._waiting, seconds)
            taken = list(self._waiting)
            self._waiting = deque()
            self._n_rows = 0
        return taken


class InboxSource(Source):
    """A source together with an inbox.

    Between two commits of the source, the rows in the inbox form a commit of their own, which
    leaves the position unchanged: a checkpoint can be resumed without the inbox. Rows of an inbox
    arrive once, so they have to be logged.

    Parameters
    ----------
    source
        The source; all members but `needs_log` and the side state are those of this source.
    inbox
        Rows of other threads.
    """

    needs_log = True

    def __init__(self, source: Source, inbox: Inbox) -> None:
        self._source = source
        self._inbox = inbox
        self.name = source.name
        self.guarantee = source.guarantee
        self.is_live = source.is_live
        self.on_bad = source.on_bad
        self.labels_from = source.labels_from
        self.used = source.used
        self._known = Deduplicator()
        # Submissions in each commit that is not acknowledged yet; None for a commit of the source.
        self._unacked: deque[list[_Submission] | None] = deque()

    @property
    def schema(self) -> Schema | None:
        """Of the source."""
        return self._source.schema

    @property
    def position(self) -> Position:
        """Of the source."""
        return self._source.position

    @property
    def stats(self) -> Mapping[str, int]:
        """Of the source."""
        return self._source.stats

    @property
    def skipped(self) -> Mapping[str, int]:
        """Of the source."""
        return self._source.skipped

    @property
    def last_error(self) -> str:
        """Of the source."""
        return self._source.last_error

    @property
    def location(self) -> str:
        """Of the source."""
        return self._source.location

    @property
    def progress(self) -> float | None:
        """Of the source."""
        return self._source.progress

    @property
    def fingerprint(self) -> Mapping[str, Any] | None:
        """Of the source."""
        return self._source.fingerprint

    def verify(self, fingerprint: Mapping[str, Any]) -> None:
        """Verify the source."""
        self._source.verify(fingerprint)

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield the commits of the source and of the inbox, the latter also after its end."""
        self._unacked.clear()
        for item in self._source:
            if not isinstance(item, Sequence) or item:
                self._unacked.append(None)
            yield item
            # Not before the yield: the source's position is already that after its item.
            yield from self._take()
        while True:
            yield from self._take(_TICK)
            yield []

    def _take(self, seconds: float = 0.0) -> Iterator[Sequence[Event]]:
        """Yield one commit with the new rows of the inbox, if there are any."""
        taken = [one for one in self._inbox.take(seconds) if self._drop_known(one)]
        events = [row for one in taken for row in one.rows]
        if events:
            self._unacked.append(taken)
            yield events
            return
        pending = next((one for one in reversed(self._unacked) if one), None)
        if pending is None:
            _resolve(taken)
        else:  # the rows repeated here may be those of a commit that is not durable yet
            pending += taken

    def _drop_known(self, submission: _Submission) -> bool:
        """Drop rows that were submitted before; False if that cannot be decided, an error then."""
        if submission.source is None:
            return True
        before = self._known.export_state()
        source = submission.source
        try:
            submission.rows = [
                row
                for row in submission.rows
                if isinstance(row, Sample) and self._known.is_new(source, row.seq)
            ]
        except SourceError as error:
            self._known.restore_state(before)
            submission.done.set_exception(error)
            return False
        return True

    def side_state(self) -> dict[str, Any]:
        """Return which numbered rows were yielded."""
        return self._known.export_state()

    def restore_side_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `side_state` returned."""
        self._known.restore_state(state)

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go to a position of the source."""
        self._source.seek(position)

    def ack(self, position: Mapping[str, Any]) -> None:
        """Acknowledge the oldest commit to the source, or to the threads that submitted it."""
        submissions = self._unacked.popleft() if self._unacked else None
        if submissions is None:
            self._source.ack(position)
        else:
            _resolve(submissions)

    def reply(self, event: Event, values: NDArray[np.float32], classes: Sequence[Any]) -> None:
        """Reply through the source."""
        self._source.reply(event, values, classes)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class InboxOnly(Source):
    """The rows of an inbox and no others: a source that never has news of its own."""

    name = "http"
    guarantee = "at least once (rows with a source and seq, or with an id, are learned once)"
    is_live = True
    labels_from = "the field 'y', or /label"

    @property
    def position(self) -> Position:
        """Always the same."""
        return {"row": 0}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Do nothing: there is only one position."""

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield nothing: `InboxSource` continues with the inbox."""
        yield from ()


def _resolve(submissions: Sequence[_Submission]) -> None:
    for submission in submissions:
        submission.done.set_result(len(submission.rows))
