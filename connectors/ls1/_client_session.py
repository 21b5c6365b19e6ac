"""The sender's side of the reliable protocol, without a socket."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loco_stream.connectors.ls1._messages import (
    ErrorPayload,
    FlowControl,
    Hello,
    SchemaPayload,
    decode,
    encode,
)
from loco_stream.connectors.ls1._wire import Kind, Message, pack
from loco_stream.errors import SourceError

SAY_HELLO = "say hello"  # error after which a sender starts the session again; part of the protocol
_SILENCE_SECONDS = 5.0  # without an answer while rows are not acked; the session then starts again
_MAX_ERRORS = 3  # in a row without a new ack


@dataclass(frozen=True, slots=True)
class Batch:
    """A message of consecutive rows or late labels, or of one row by name (kind None).

    Parameters
    ----------
    kind
        Of the message.
    first
        Seq of the first row.
    n_rows, n_features
        Shape of the table.
    payload
        Of the message.
    t
        Event time of the first row.
    schema
        What the payload refers to.
    """

    kind: Kind | None
    first: int
    n_rows: int
    n_features: int
    payload: bytes
    t: float
    schema: SchemaPayload

    @property
    def last(self) -> int:
        """Seq of the last row."""
        return self.first + self.n_rows - 1

    def frames(self, source: str) -> list[bytes]:
        """Return the frames of the message."""
        if self.kind is None:
            return [source.encode(), self.payload]
        return pack(
            source,
            self.kind,
            self.payload,
            seq=self.first,
            t=self.t,
            n_rows=self.n_rows,
            n_features=self.n_features,
        )


class ClientSession:
    """Keeps rows that are not acked, decides what to send, and starts again after a reconnect.

    Parameters
    ----------
    hello
        The sender's hello.
    capacity
        Number of rows kept at most.
    clock
        Monotonic time in seconds.

    Attributes
    ----------
    acked
        Highest seq that is acked.
    kept
        Number of rows that are not acked.
    greeted
        Whether the engine has answered the hello.
    n_greetings
        Number of its answers so far.
    error
        First error since the last ack.
    """

    def __init__(
        self, hello: Hello, capacity: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.hello = hello
        self.capacity = capacity
        self.acked = 0
        self.kept = 0
        self.greeted = False
        self.n_greetings = 0
        self.error = ""
        self._clock = clock
        self._waiting: deque[Batch] = deque()
        self._in_flight: deque[Batch] = deque()  # sent on this connection and not acked
        self._window = 0  # flow-control window: rows that may be in flight
        self._sent_schema: SchemaPayload | None = None
        self._needs_hello = True
        self._n_errors = 0
        self._answered_at = clock()

    def has_room(self, n_rows: int) -> bool:
        """Whether a batch of `n_rows` rows can be kept now."""
        return self.kept == 0 or self.kept + n_rows <= self.capacity

    def push(self, batch: Batch) -> None:
        """Keep a batch until it is acked."""
        self._waiting.append(batch)
        self.kept += batch.n_rows

    def reconnect(self) -> None:
        """Start again with a hello: the connection is new, or the engine has lost the session."""
        self._needs_hello = True
        self.greeted = False

    def take(self, message: Message) -> None:
        """Process a message of the engine.

        Raises
        ------
        SourceError
            The engine refuses the same thing three times, or has lost rows that it had acked.
        """
        self._answered_at = self._clock()
        if message.kind is Kind.ACK:
            self._drop_acked(message.seq)
        elif message.kind is Kind.HELLO:
            self._greet(message)
        elif message.kind is Kind.ERROR:
            self._take_error(decode(message.payload, ErrorPayload).error)

    def _take_error(self, error: str) -> None:
        if error != SAY_HELLO:
            self._n_errors += 1
            self.error = self.error or error  # the first is the cause of those that follow
        if self._n_errors >= _MAX_ERRORS:
            raise SourceError(f"the engine refuses source {self.hello.source!r}: {self.error}")
        self.reconnect()

    def _greet(self, message: Message) -> None:
        if message.seq < self.acked:
            raise SourceError(
                f"the engine has lost its state: it acked row {self.acked:,} and now has "
                f"{message.seq:,} rows"
            )
        self._window = decode(message.payload, FlowControl).credit
        self._waiting.extendleft(reversed(self._in_flight))
        self._in_flight.clear()
        self._drop_acked(message.seq)
        self.greeted = True
        self.n_greetings += 1

    def _drop_acked(self, seq: int) -> None:
        if seq > self.acked:
            self.acked = seq
            self._n_errors = 0
            self.error = ""
        for batches in (self._in_flight, self._waiting):
            while batches and batches[0].last <= self.acked:
                self.kept -= batches.popleft().n_rows

    def outgoing(self, schema: SchemaPayload) -> Iterator[list[bytes]]:
        """Yield the messages to send now; `schema` is the present one."""
        if self.kept and self._clock() - self._answered_at > _SILENCE_SECONDS:
            self.reconnect()
        if self._needs_hello:
            yield from self._greeting(schema)
        if not self.greeted:
            return
        while self._waiting and self._waiting[0].last <= self.acked + self._window:
            batch = self._waiting.popleft()
            self._in_flight.append(batch)
            if batch.schema is not self._sent_schema:
                yield self._schema(batch.schema)
            yield batch.frames(self.hello.source)
        if not self._waiting and schema is not self._sent_schema:
            yield self._schema(schema)

    def _greeting(self, schema: SchemaPayload) -> Iterator[list[bytes]]:
        """Yield hello and the schema of the oldest rows that are not acknowledged."""
        self._needs_hello = False
        self._answered_at = self._clock()
        yield pack(self.hello.source, Kind.HELLO, encode(self.hello))
        oldest = next(iter(self._in_flight or self._waiting), None)
        yield self._schema(schema if oldest is None else oldest.schema)

    def _schema(self, schema: SchemaPayload) -> list[bytes]:
        self._sent_schema = schema
        return pack(self.hello.source, Kind.SCHEMA, encode(schema))
