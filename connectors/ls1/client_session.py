"""The source's end of the reliable protocol, without a socket.

Rows wait here until they are acked.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loco_stream.connectors.ls1.messages import Credit, Fault, Hello, SchemaPayload, decode, encode
from loco_stream.connectors.ls1.wire import Kind, Message, pack
from loco_stream.errors import SourceError

__all__ = ["Batch", "ClientSession"]

_SILENCE = 5.0  # seconds without a word while rows are un-acked, after which hello is said again
_PATIENCE = 3  # errors in a row without a new ack, after which the sender gives up


@dataclass(frozen=True, slots=True)
class Batch:
    """A block of rows or late labels on its way, or one row in words (kind None), with the schema it belongs to."""

    kind: Kind | None
    first: int
    n_rows: int
    n_features: int
    payload: bytes
    t: float
    schema: SchemaPayload

    @property
    def last(self) -> int:
        """The seq of the last row."""
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
    """Keeps what is not acked, says what to send next, and starts over after a reconnect.

    Parameters
    ----------
    hello
        Who this is.
    capacity
        Rows kept at most.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, hello: Hello, capacity: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.hello = hello
        self.capacity = capacity
        self.acked = 0
        self.greetings = 0
        self.greeted = False
        self.kept = 0
        self.error = ""
        self._clock = clock
        self._waiting: deque[Batch] = deque()
        self._flying: deque[Batch] = deque()  # sent on this connection and not acked
        self._credit = 0
        self._sent_schema: SchemaPayload | None = None
        self._say_hello = True
        self._faults = 0
        self._heard = clock()

    def room(self, n_rows: int) -> bool:
        """Whether a block of so many rows can be kept now."""
        return self.kept == 0 or self.kept + n_rows <= self.capacity

    def push(self, batch: Batch) -> None:
        """Keep a batch until it is acked."""
        self._waiting.append(batch)
        self.kept += batch.n_rows

    def reconnect(self) -> None:
        """Say hello again: the connection is new, or the engine did not follow."""
        self._say_hello = True
        self.greeted = False

    def take(self, message: Message) -> None:
        """Read an answer of the engine.

        Raises
        ------
        SourceError
            The engine refuses the same thing again and again, or lost rows that it had acked.
        """
        self._heard = self._clock()
        if message.kind is Kind.ACK:
            self._advance(message.seq)
        elif message.kind is Kind.HELLO:
            self._greet(message)
        elif message.kind is Kind.ERROR:
            error = decode(message.payload, Fault).error
            if error != "say hello":
                self._faults += 1
                self.error = (
                    self.error or error
                )  # the first one is the cause, others follow from it
            if self._faults >= _PATIENCE:
                raise SourceError(f"the engine refuses source {self.hello.source!r}: {self.error}")
            self.reconnect()

    def _greet(self, message: Message) -> None:
        if message.seq < self.acked:
            raise SourceError(
                f"the engine acked row {self.acked} and now knows {message.seq} rows: it lost its state"
            )
        self._credit = decode(message.payload, Credit).credit
        self._waiting.extendleft(reversed(self._flying))
        self._flying.clear()
        self._advance(message.seq)
        self.greeted = True
        self.greetings += 1

    def _advance(self, seq: int) -> None:
        if seq > self.acked:
            self.acked = seq
            self._faults = 0
            self.error = ""
        for batches in (self._flying, self._waiting):
            while batches and batches[0].last <= self.acked:
                self.kept -= batches.popleft().n_rows

    def outgoing(self, schema: SchemaPayload) -> Iterator[list[bytes]]:
        """Yield the messages to send now; `schema` is the one of this moment."""
        if self.kept and self._clock() - self._heard > _SILENCE:
            self.reconnect()
        if self._say_hello:
            self._say_hello = False
            self._heard = self._clock()
            yield pack(self.hello.source, Kind.HELLO, encode(self.hello))
            yield self._schema(schema if self._oldest is None else self._oldest.schema)
        if not self.greeted:
            return
        while self._waiting and self._waiting[0].last <= self.acked + self._credit:
            batch = self._waiting.popleft()
            self._flying.append(batch)
            if batch.schema is not self._sent_schema:
                yield self._schema(batch.schema)
            yield batch.frames(self.hello.source)
        if not self._waiting and schema is not self._sent_schema:
            yield self._schema(schema)

    def _schema(self, schema: SchemaPayload) -> list[bytes]:
        self._sent_schema = schema
        return pack(self.hello.source, Kind.SCHEMA, encode(schema))

    @property
    def _oldest(self) -> Batch | None:
        return next(iter(self._flying or self._waiting), None)
