"""Rows that other threads submit to a running engine, beside its source.

They are validated, logged, learned and kept as the rows of the source are.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any, Literal, TypeAlias

from loco_stream._arrays import Float32
from loco_stream._joins import Item
from loco_stream.engine._deduplicator import Deduplicator
from loco_stream.errors import SourceError
from loco_stream.stream import Event, Labels, Position, Sample, Source

_MAX_ROWS = 4096
_MAX_REFUSED = 1024  # refused rows whose reason is remembered, in case they are sent again
_TICK = 0.05

_NOT_LEARNED = "the service ends: the rows are not learned; send them again"
_UNKNOWN = "the service ends before the rows are durable; send them again, with source and seq"

# Keys of the side state.
_SOURCES = "sources"
_REFUSED = "refused"

Status: TypeAlias = Literal["learned", "waiting", "repeated", "refused"]


class InboxClosedError(Exception):
    """The service ends, and it is not certain that these rows are learned."""


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


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of a submitted row.

    status: ``"learned"``; ``"waiting"`` if it has an id and no label yet; ``"repeated"`` if its
        number or its id came before; ``"refused"``
    reason: why it was refused
    """

    status: Status
    reason: str = ""


@dataclass(slots=True)
class _Submission:
    """Rows of one call of `Inbox.put`.

    `source` is the client's name for their stream if it numbers them, `client` its address; `done`
    gets a result per row once the rows are durable.
    """

    rows: Sequence[Sample | Labels]
    source: str | None
    client: str
    done: Future[list[RowResult]]
    results: dict[int, RowResult] = field(default_factory=dict)  # by seq, of rows not taken

    def resolve(
        self, refused: Mapping[tuple[str, int], str], repeated: Container[tuple[str, int]]
    ) -> None:
        """Pass on what became of each row."""
        self.done.set_result([self._result(row, refused, repeated) for row in self.rows])

    def _result(
        self,
        row: Sample | Labels,
        refused: Mapping[tuple[str, int], str],
        repeated: Container[tuple[str, int]],
    ) -> RowResult:
        if (row.source, row.seq) in repeated:
            return _REPEATED
        reason = refused.get((row.source, row.seq))
        if reason is not None:
            return RowResult("refused", reason)
        waits = isinstance(row, Sample) and row.y is None
        return self.results.get(row.seq, _WAITING if waits else _LEARNED)


_LEARNED = RowResult("learned")
_WAITING = RowResult("waiting")
_REPEATED = RowResult("repeated")


class Inbox:
    """Rows and labels from other threads, in the order of their arrival.

    `name`: source name of the rows, or its first part, before a slash, where a client names its own
    stream. Rows without a number are numbered from the clock's microseconds on, so that a later
    process never reuses numbers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._seq = int(time.time() * 1e6)
        self._waiting: deque[_Submission] = deque()
        self._n_rows = 0
        self._arrived = threading.Condition()
        self._is_closed = False

    def put(
        self,
        rows: Sequence[InboxRow],
        source: str | None = None,
        seq: int = 0,
        client: str = "",
    ) -> Future[list[RowResult]]:
        """Submit rows.

        Raises `InboxFullError` if 4096 rows wait. Raises `InboxClosedError` if the service ends.

        rows: in the order in which they are learned
        source: the client's name for its stream. The rows are then numbered from `seq` on, and none
            is learned twice.
        seq: number of the first row
        client: who sends the rows, such as a network address: the number of sources is bounded per
            client

        Returns what became of each row, once the rows are durable.
        """
        with self._arrived:
            now = time.time()
            name = self.name if source is None else f"{self.name}/{source}"
            first = self._seq if source is None else seq
            events: list[Sample | Labels] = []
            for i, row in enumerate(rows):
                t = now if row.t is None else row.t
                events.append(Sample(row.x, row.y, first + i, t, name, id=row.id, extra=row.extra))
            done = self._submit(events, source, client)
            self._seq += len(rows) if source is None else 0
        return done

    def put_labels(self, ids: Sequence[Any], labels: Sequence[Any]) -> Future[list[RowResult]]:
        """Submit labels of rows by their ids.

        Raises `InboxFullError` if 4096 rows and labels wait. Raises `InboxClosedError` if the
        service ends.

        Returns what became of each label, once the labels are durable. A label that came before its
        row counts as learned, although it waits for the row.
        """
        with self._arrived:
            pairs = zip(ids, labels, strict=True)
            events = [  # one by one, so that each has a number under which it may be refused
                Labels([of], [y], self._seq + i, self.name, by_id=True)
                for i, (of, y) in enumerate(pairs)
            ]
            done = self._submit(events, None, "")
            self._seq += len(events)
        return done

    def _submit(
        self, events: Sequence[Sample | Labels], source: str | None, client: str
    ) -> Future[list[RowResult]]:
        if self._is_closed:
            raise InboxClosedError(_NOT_LEARNED)
        if self._n_rows + len(events) > _MAX_ROWS:
            raise InboxFullError(f"{self._n_rows:,} rows wait to be learned; try again later")
        done: Future[list[RowResult]] = Future()
        self._n_rows += len(events)
        self._waiting.append(_Submission(events, source, client, done))
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

    def close(self) -> None:
        """Refuse rows from now on, and answer those who wait that theirs are not learned."""
        with self._arrived:
            self._is_closed = True
        for submission in self.take():
            submission.done.set_exception(InboxClosedError(_NOT_LEARNED))


def _of_source(name: str) -> Any:
    """Return a property that is the one of the source within."""
    return property(attrgetter(f"_source.{name}"))


class InboxSource(Source):
    """A source together with an inbox.

    Between two commits of the source, the rows in the inbox form a commit of their own, which
    leaves the position unchanged: a checkpoint can be resumed without the inbox. Rows of an inbox
    arrive once, so they have to be logged.

    source: the source; all members but `needs_log` and the side state are those of this source
    inbox: rows of other threads
    """

    needs_log = True

    def __init__(self, source: Source, inbox: Inbox) -> None:
        self._source = source
        self._inbox = inbox
        self._known = Deduplicator()
        self._refused: dict[tuple[str, int], str] = {}  # reason by source and seq, oldest first
        self._repeated: set[tuple[str, int]] = set()  # rows not answered yet whose id came before
        # Submissions in each commit that is not acknowledged yet; None for a commit of the source.
        self._unacked: deque[list[_Submission] | None] = deque()

    name = _of_source("name")
    guarantee = _of_source("guarantee")
    is_live = _of_source("is_live")
    on_bad = _of_source("on_bad")
    targets = _of_source("targets")
    labels_from = _of_source("labels_from")
    used = _of_source("used")
    roles = _of_source("roles")
    without_features = _of_source("without_features")
    schema = _of_source("schema")
    position = _of_source("position")
    stats = _of_source("stats")
    skipped = _of_source("skipped")
    last_error = _of_source("last_error")
    location = _of_source("location")
    progress = _of_source("progress")
    outage = _of_source("outage")
    fingerprint = _of_source("fingerprint")
    notes = _of_source("notes")

    def verify(self, fingerprint: Mapping[str, Any]) -> None:
        """Verify the source."""
        self._source.verify(fingerprint)

    def __iter__(self) -> Iterator[Item]:
        """Yield the commits of the source and of the inbox, the latter also after its end."""
        self._unacked.clear()
        self._repeated.clear()  # of a replay, in which nobody waits
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
        taken = self._inbox.take(seconds)
        events = [
            row
            for submission in taken
            for row in submission.rows
            if submission.source is None or self._is_new(row, submission)
        ]
        if events:
            self._unacked.append(taken)
            yield events
            return
        pending = next((one for one in reversed(self._unacked) if one), None)
        if pending is None:
            self._resolve(taken)
        else:  # the rows repeated here may be those of a commit that is not durable yet
            pending += taken

    def _is_new(self, row: Sample | Labels, submission: _Submission) -> bool:
        try:
            if self._known.is_new(submission.source or "", row.seq, submission.client):
                return True
        except SourceError as error:
            submission.results[row.seq] = RowResult("refused", str(error))
        else:
            submission.results[row.seq] = _REPEATED
        return False

    def forget(self, name: str) -> bool:
        """Forget the row numbers of a client's stream, if there were any: it may number anew."""
        for key in [key for key in self._refused if key[0] == f"{self._inbox.name}/{name}"]:
            del self._refused[key]
        return self._known.forget(name)

    def _resolve(self, submissions: Sequence[_Submission]) -> None:
        for submission in submissions:
            submission.resolve(self._refused, self._repeated)
            self._repeated.difference_update((row.source, row.seq) for row in submission.rows)

    def refuse(self, source: str, seq: int, reason: str) -> None:
        """Note that a row is refused, which its sender learns also when it sends the row again."""
        if not self._is_own(source):
            self._source.refuse(source, seq, reason)
            return
        self._refused[source, seq] = reason
        while len(self._refused) > _MAX_REFUSED:
            del self._refused[next(iter(self._refused))]

    def repeat(self, source: str, seq: int) -> None:
        """Note that a row is not learned, since its id came before."""
        if self._is_own(source):
            self._repeated.add((source, seq))
        else:
            self._source.repeat(source, seq)

    def _is_own(self, source: str) -> bool:
        """Return whether rows of a name are from the inbox."""
        return source == self._inbox.name or source.startswith(f"{self._inbox.name}/")

    def hold(self, seconds: float, reason: str) -> None:
        """Let the source wait."""
        self._source.hold(seconds, reason)

    def side_state(self) -> dict[str, Any]:
        """Return which numbered rows were yielded, and which of the last ones were refused."""
        return {
            _SOURCES: self._known.export_state(),
            _REFUSED: [[source, seq, reason] for (source, seq), reason in self._refused.items()],
        }

    def restore_side_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `side_state` returned, and keep what was refused in a replay since."""
        if not isinstance(state.get(_SOURCES), Mapping):  # of release 0.2
            state = {_SOURCES: state}
        self._known.restore_state(state[_SOURCES])
        stored = {(source, seq): reason for source, seq, reason in state.get(_REFUSED, ())}
        self._refused = {**stored, **self._refused}

    def seek(self, position: Position) -> None:
        """Go to a position of the source."""
        self._source.seek(position)

    def ack(self, position: Position) -> None:
        """Acknowledge the oldest commit to the source, or to the threads that submitted it."""
        submissions = self._unacked.popleft() if self._unacked else None
        if submissions is None:
            self._source.ack(position)
        else:
            self._resolve(submissions)

    def reply(self, event: Event, values: Float32, classes: Sequence[Any]) -> None:
        """Reply through the source."""
        self._source.reply(event, values, classes)

    def close(self) -> None:
        """Close the source, and answer those who wait that their rows are not learned."""
        self._inbox.close()
        for submission in chain.from_iterable(filter(None, self._unacked)):
            submission.done.set_exception(InboxClosedError(_UNKNOWN))
        self._unacked.clear()
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

    def seek(self, position: Position) -> None:
        """Refuse the position of another source, which a checkpoint of this one would replace.

        Raises
        ------
        SourceError
            It is the position of another source.
        """
        if position and position != self.position:
            raise SourceError(
                f"`position` of rows over HTTP must be {self.position!r}, got {dict(position)!r}"
            )

    def __iter__(self) -> Iterator[Item]:
        """Yield nothing: `InboxSource` continues with the inbox."""
        yield from ()
