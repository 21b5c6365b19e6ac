"""The engine's end of the reliable protocol, without a socket: messages in, events and answers out."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.ls1.messages import (
    Credit,
    Fault,
    Hello,
    SchemaPayload,
    decode,
    encode,
    read_row,
    read_schema,
)
from loco_stream.connectors.ls1.remote_source import Stream, Streams
from loco_stream.connectors.ls1.wire import Kind, Message, pack, topic_name, unpack
from loco_stream.errors import InputError, SourceError
from loco_stream.numbers import require_number, to_number
from loco_stream.stream import Ask, Block, Event

__all__ = ["ServerSession", "Session"]

_BAD_A_SECOND = 20  # bad messages of one connection that are still answered while others are served


@dataclass(slots=True)
class Session:
    """One connection that has said hello; it is forgotten with the connection."""

    peer: bytes
    stream: Stream
    hello: Hello
    pays: str  # whose rate is counted: the key under CURVE, else the connection
    note: SchemaPayload | None = None
    acked: int = 0
    ends: list[int] = field(default_factory=list)

    @property
    def durable(self) -> int:
        """The highest durable seq of the session's source and epoch."""
        return self.stream.durable.get(self.hello.epoch, 0)


class ServerSession:
    """Serves the connections of one ROUTER.

    `take` turns a message into an event or None and puts answers into `outbox`; `ack` puts the cumulative
    acks there, `reply` the predictions. Only hello opens a session, and the newest hello of a source counts.

    Parameters
    ----------
    streams
        What is known of the sources; survives the connections.
    credit
        Rows a source may have on the way beyond the last ack.
    rate
        Rows a second above which a peer's acks are delayed; None never delays.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, streams: Streams, credit: int, rate: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.streams = streams
        self.outbox: deque[tuple[bytes, list[bytes]]] = deque()
        self.last_error = ""
        self._credit, self._rate, self._clock = credit, rate, clock
        self._sessions: dict[bytes, Session] = {}
        self._by_source: dict[str, Session] = {}
        self._free_at: dict[str, float] = {}
        self._bad: dict[bytes, int] = {}
        self._served: set[bytes] = set()
        self._second = clock()

    def take(self, peer: bytes, frames: Sequence[bytes], key: str = "") -> Event | None:
        """Read one message of `peer` (its routing id); `key` is its public key under CURVE."""
        stats = self.streams.stats
        stats["messages"] += 1
        if self._bad and self._floods(peer):
            stats["ignored"] += 1
            return None
        event = self._read(peer, frames, key)
        if event is not None:
            self._served.add(peer)
        return event

    def _floods(self, peer: bytes) -> bool:
        """Whether a peer has sent so much rubbish in this second that others, who are at work, come first."""
        return self._bad.get(peer, 0) >= _BAD_A_SECOND and bool(self._served - {peer})

    def _read(self, peer: bytes, frames: Sequence[bytes], key: str) -> Event | None:
        stats = self.streams.stats
        try:
            if len(frames) == 2:
                return self._readable(peer, frames)
            message = unpack(frames, self.streams.limits)
        except SourceError as e:
            stats["malformed"] += 1
            self._fault(peer, frames, str(e))
            return None
        try:
            return self._serve(peer, message, key)
        except SourceError as e:
            stats["rejected"] += 1
            self._fault(peer, frames, str(e))
            return None

    def _serve(self, peer: bytes, message: Message, key: str) -> Event | None:
        if message.kind is Kind.HEARTBEAT:
            return None
        if message.kind is Kind.HELLO:
            self._hello(peer, message, key)
            return None
        session = self._session(peer, message.source)
        if message.kind is Kind.SCHEMA:
            note = read_schema(message.payload, self.streams.limits)
            self.streams.adopt(session.stream, note)
            session.note = session.stream.note
            return None
        if message.kind is Kind.END:
            self._end(session, message.seq)
            return None
        if message.kind in {Kind.ACK, Kind.PREDICTION, Kind.ERROR}:
            raise SourceError(f"kind {message.kind:d} is the engine's to send")
        if session.note is None:
            raise SourceError("send the schema after hello")
        if message.kind is Kind.ASK:
            return session.stream.event(message, session.note, tag=(peer, session.note))
        return self._rows(session, session.note, message)

    def _session(self, peer: bytes, source: str) -> Session:
        session = self._sessions.get(peer)
        if session is None:
            raise SourceError("say hello")
        if source != session.stream.name:
            raise SourceError(f"this connection said hello as {session.stream.name!r}, and the topic is {source!r}")
        return session

    def _hello(self, peer: bytes, message: Message, key: str) -> None:
        hello = decode(message.payload, Hello)
        if hello.source != message.source:
            raise SourceError(f"hello names the source {hello.source!r}, and the topic is {message.source!r}")
        stream = self.streams.find(hello.source)
        before = self._sessions.pop(peer, None)
        if before is not None:
            self._by_source.pop(before.stream.name, None)
        rival = self._by_source.pop(hello.source, None)
        if rival is not None:
            del self._sessions[rival.peer]
            self._tell(rival, Kind.ERROR, encode(Fault(f"another connection said hello as {hello.source!r}")))
        session = Session(peer, stream, hello, key or peer.hex())
        session.acked = session.durable
        self._sessions[peer] = self._by_source[hello.source] = session
        self._tell(session, Kind.HELLO, encode(Credit(self._credit)))

    def _rows(self, session: Session, note: SchemaPayload, message: Message) -> Event | None:
        stream, epoch = session.stream, session.hello.epoch
        last = stream.last.get(epoch, 0)
        first, end = message.seq, message.seq + message.n_rows - 1
        if first == 0:
            raise SourceError("seq starts at 1")
        if first > last + 1:
            self.streams.count_gap(first - last - 1)
            raise SourceError(f"row {first} does not follow row {last}: send the rows between first")
        old = min(last + 1 - first, message.n_rows)
        if old:
            self.streams.stats["duplicates"] += old
        if old == message.n_rows:
            self._tell(session, Kind.ACK)
            return None
        if end > session.durable + self._credit:
            raise SourceError(f"row {end} is beyond the credit of {self._credit} rows after row {session.durable}")
        tag = (session.peer, note) if session.hello.predict and message.kind is not Kind.LABEL else None
        event = stream.event(message, note, skip=old, epoch=epoch, tag=tag)
        stream.reach(epoch, end)
        if old:
            self._tell(session, Kind.ACK)
        return event

    def _readable(self, peer: bytes, frames: Sequence[bytes]) -> Event | None:
        """Take a row in words: it needs its seq, and numbers only, since rows are logged as numbers."""
        session = self._session(peer, topic_name(frames[0], self.streams.limits))
        if session.note is None:
            raise SourceError("send the schema after hello")
        row = read_row(frames[1], session.note.features, self.streams.limits)
        if row.seq is None:
            raise SourceError("a readable row needs its seq here")
        message = _as_block(session.stream.name, row.x, row.y, row.seq, row.t, session.note)
        return self._rows(session, session.note, message)

    def _end(self, session: Session, seq: int) -> None:
        last = session.stream.last.get(session.hello.epoch, 0)
        if seq > last:
            raise SourceError(f"the stream ends with row {seq}, and the last row here is {last}")
        if seq <= session.durable:
            self._tell(session, Kind.ACK, seq=seq)
        else:
            session.ends.append(seq)

    def reset(self) -> None:
        """Ask every source to say hello again: the position has changed under them."""
        for session in self._sessions.values():
            self._tell(session, Kind.ERROR, encode(Fault("say hello")))
        self._sessions.clear()
        self._by_source.clear()

    def ack(self, position: Mapping[str, Any]) -> None:
        """Mark everything up to `position` durable and tell the sources."""
        for stream in self.streams.advance(position):
            session = self._by_source.get(stream.name)
            if session is not None:
                self._ack_session(session)

    def tick(self) -> None:
        """Send the acks whose delay is over, and forget the rubbish of the last second."""
        if self._clock() - self._second >= 1.0:
            self._second = self._clock()
            self._bad.clear()
            self._served.clear()
        if self._rate is not None:
            for session in self._by_source.values():
                self._ack_session(session)

    def _ack_session(self, session: Session) -> None:
        durable = session.durable
        if durable > session.acked:
            if self._rate is not None and not self._may(session.pays, durable - session.acked):
                return
            session.acked = durable
            self.streams.stats["acks"] += 1
            self._tell(session, Kind.ACK)
        while session.ends and session.ends[0] <= session.acked:
            self._tell(session, Kind.ACK, seq=session.ends.pop(0))

    def _may(self, pays: str, rows: int) -> bool:
        """Whether a peer's next ack may leave; each costs its rows at the agreed rate."""
        now = self._clock()
        if self._rate is None or now < self._free_at.get(pays, -math.inf):
            return self._rate is None
        self._free_at[pays] = now + rows / self._rate
        return True

    def reply(self, event: Event, values: NDArray[np.float32], classes: Sequence[Any]) -> None:
        """Send one kind 8 for an event that expects it."""
        if not isinstance(event, (Ask, Block)) or event.tag is None:
            return
        peer, note = event.tag
        if peer not in self._sessions:
            self.streams.stats["unsent"] += 1
            return
        columns = _columns(values, classes, note, len(event.X))
        if columns.shape[1] == 0:
            self._send(peer, event.source, Kind.ERROR, encode(Fault("the schema names no classes to predict")))
            return
        self.streams.stats["replies"] += 1
        payload = np.ascontiguousarray(columns, dtype="<f4").tobytes()
        n_rows, width = columns.shape
        self.outbox.append(
            (peer, pack(event.source, Kind.PREDICTION, payload, seq=event.seq, n_rows=n_rows, n_features=width))
        )

    def _fault(self, peer: bytes, frames: Sequence[bytes], text: str) -> None:
        self.last_error = text
        self._bad[peer] = self._bad.get(peer, 0) + 1
        session = self._sessions.get(peer)
        if session is not None:
            self._tell(session, Kind.ERROR, encode(Fault(text)))
            return
        try:
            source = topic_name(frames[0], self.streams.limits) if frames else "?"
        except SourceError:
            source = "?"
        self._send(peer, source, Kind.ERROR, encode(Fault(text)))

    def _tell(self, session: Session, kind: Kind, payload: bytes = b"", seq: int | None = None) -> None:
        self._send(session.peer, session.stream.name, kind, payload, session.durable if seq is None else seq)

    def _send(self, peer: bytes, source: str, kind: Kind, payload: bytes = b"", seq: int = 0) -> None:
        self.outbox.append((peer, pack(source, kind, payload, seq=seq)))


def _columns(
    values: NDArray[np.float32], classes: Sequence[Any], note: SchemaPayload, n_rows: int
) -> NDArray[np.float32]:
    """Return values (n_rows, 1), or probabilities by the asker's classes; uniform before any of them is learned."""
    if note.task == "regression":
        return values.reshape(n_rows, 1)
    asked = note.classes or ()
    slot = {str(label): j for j, label in enumerate(classes)}
    columns = np.zeros((n_rows, len(asked)), np.float32)
    for j, label in enumerate(asked):
        if label in slot:
            columns[:, j] = values[:, slot[label]]
    columns[~columns.any(axis=1)] = 1 / max(len(asked), 1)  # nothing known of any of them
    return columns


def _as_block(source: str, x: Mapping[str, Any], y: Any, seq: int, t: float, note: SchemaPayload) -> Message:
    """Return a row in words as the labelled block it stands for."""
    unknown = [name for name in x if name not in note.features]
    words = [name for name, value in x.items() if isinstance(value, str)]
    if unknown or words:
        fault = "not in the schema" if unknown else "text, not a number"
        raise SourceError(f"feature {(unknown + words)[0]!r} is {fault}")
    values = [to_number(x.get(name)) for name in note.features]
    row = np.array(values, "<f4").tobytes()
    if note.task == "regression":
        label = np.array([math.nan if y is None else _target(y)], "<f4")
    else:
        label = np.array([_index(y, note.classes or ())], "<i4")
    return Message(source, Kind.LABELLED, seq, t, 1, len(values), row + label.tobytes())


def _target(y: Any) -> float:
    try:
        return require_number("y", y)
    except InputError as error:
        raise SourceError(str(error)) from None


def _index(y: Any, classes: tuple[str, ...]) -> int:
    if y is None:
        return -1
    if str(y) not in classes:
        raise SourceError(f"y {y!r} is not among the schema's classes")
    return classes.index(str(y))
