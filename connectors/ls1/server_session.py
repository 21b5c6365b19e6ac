"""The engine's end of the reliable protocol, without a socket.

Messages in, events and answers out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.ls1.asks import AskQueue, Request
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
from loco_stream.connectors.ls1.readable import as_ask, as_block, as_sample, has_text
from loco_stream.connectors.ls1.remote_source import Stream, Streams
from loco_stream.connectors.ls1.wire import REQUEST_BIT, Kind, Message, pack, topic_name, unpack
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Event, PredictRequest, Sample

__all__ = ["ServerSession", "Session"]

_BAD_A_SECOND = 20  # bad messages of one connection that are still answered while others are served
_PROBE_EVERY = 1.0  # seconds between two looks at whether silent connections are still there


@dataclass(slots=True)
class Session:
    """One connection that has said hello; it is forgotten with the connection."""

    peer: bytes
    stream: Stream
    hello: Hello
    account: str  # whose rate is counted: the key under CURVE, else the connection
    schema: SchemaPayload | None = None
    acked: int = 0
    ends: list[int] = field(default_factory=list)

    @property
    def durable(self) -> int:
        """The highest durable seq of the session's source and epoch."""
        return self.stream.durable.get(self.hello.epoch, 0)


class ServerSession:
    """Serves the connections of one ROUTER.

    `take` turns a message into an event or None and puts answers into `outbox`; requests to predict
    wait in `asks`. `ack` puts the cumulative acks into `outbox`, `reply` the predictions. Only
    hello opens a session, and the newest hello of a source counts.

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
        self,
        streams: Streams,
        credit: int,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.streams = streams
        self.outbox: deque[tuple[bytes, list[bytes]]] = deque()
        self.last_error = ""
        self._credit = credit
        self._rate = rate
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}
        self._by_source: dict[str, Session] = {}
        self._free_at: dict[str, float] = {}
        self._bad: dict[bytes, int] = {}
        self._wasted: dict[
            bytes, int
        ] = {}  # bytes of messages without rows or requests in this second
        self._served: set[bytes] = set()
        self._second = clock()
        self._probed = self._second - _PROBE_EVERY
        self.asks = AskQueue(streams.limits)
        self.unread: Callable[[bytes], int] = lambda _peer: (
            0
        )  # bytes of answers that a peer has not read
        streams.on_forget = self._forget

    def take(self, peer: bytes, frames: Sequence[bytes], key: str = "") -> Event | None:
        """Read one message of `peer` (its routing id); `key` is its public key under CURVE."""
        stats = self.streams.stats
        stats["messages"] += 1
        if self._bad and self._floods(peer):
            stats["ignored"] += 1
            self._wasted[peer] = self._wasted.get(peer, 0) + sum(map(len, frames))
            return None
        asked = stats["asks"]
        event = self._read(peer, frames, key)
        if event is not None:
            self._served.add(peer)
        elif stats["asks"] == asked:
            self._wasted[peer] = self._wasted.get(peer, 0) + sum(map(len, frames))
        return event

    def wastes(self, peer: bytes) -> bool:
        """Whether a peer has sent so many bytes for nothing in this second that its connection is better closed."""
        return self._wasted.get(peer, 0) > 2 * self.streams.limits.frame_bytes and bool(
            self._served - {peer}
        )

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
            schema = read_schema(message.payload, self.streams.limits)
            self.streams.adopt(session.stream, schema)
            session.schema = session.stream.schema
            return None
        if message.kind is Kind.END:
            self._end(session, message.seq)
            return None
        if message.kind in {Kind.ACK, Kind.PREDICTION, Kind.ERROR}:
            raise SourceError(f"kind {message.kind:d} is the engine's to send")
        if session.schema is None:
            raise SourceError("send the schema after hello")
        if message.kind is Kind.ASK:
            self._ask(session, session.schema, message)
            return None
        return self._rows(session, session.schema, message)

    def _session(self, peer: bytes, source: str) -> Session:
        session = self._sessions.get(peer)
        if session is None:
            raise SourceError("say hello")
        session.stream.heard = self._clock()
        if source != session.stream.name:
            raise SourceError(
                f"this connection said hello as {session.stream.name!r}, and the topic is {source!r}"
            )
        return session

    def _hello(self, peer: bytes, message: Message, key: str) -> None:
        hello = decode(message.payload, Hello)
        if hello.source != message.source:
            raise SourceError(
                f"hello names the source {hello.source!r}, and the topic is {message.source!r}"
            )
        stream = self.streams.find(hello.source, key)
        self.lost(peer)
        rival = self._by_source.get(hello.source)
        if rival is not None:
            self.lost(rival.peer)
            self._tell(
                rival,
                Kind.ERROR,
                encode(Fault(f"another connection said hello as {hello.source!r}")),
            )
        session = Session(peer, stream, hello, key or peer.hex())
        session.acked = session.durable
        stream.connected = True
        self._sessions[peer] = self._by_source[hello.source] = session
        self._tell(session, Kind.HELLO, encode(Credit(self._credit)))

    def lost(self, peer: bytes) -> None:
        """Forget a connection that is gone, or that says hello anew."""
        session = self._sessions.pop(peer, None)
        if session is not None:
            self.asks.drop(peer)
            session.stream.connected = False
            if self._by_source.get(session.stream.name) is session:
                del self._by_source[session.stream.name]

    def _forget(self, stream: Stream) -> None:
        """Close the session of a source whose place another one takes.

        What it sends next is told to say hello.
        """
        session = self._by_source.get(stream.name)
        if session is not None:
            self.lost(session.peer)

    def _ask(self, session: Session, schema: SchemaPayload, message: Message) -> None:
        """Let a request wait for its turn, if its answer may be as large as it would be."""
        self._check_ask(session.peer, schema, message.n_rows, message.n_features)
        request = Request(session.peer, schema, message.seq, message.n_rows)
        ask = session.stream.event(message, schema, tag=request)
        assert isinstance(ask, PredictRequest)
        self.asks.put(session.peer, ask)

    def _check_ask(self, peer: bytes, schema: SchemaPayload, n_rows: int, n_features: int) -> None:
        columns = 1 if schema.task == "regression" else len(schema.classes or ())
        self.asks.check(peer, n_rows, n_features, columns)
        unread = self.unread(peer)
        most = self.streams.limits.unread_bytes
        if unread > most:
            raise SourceError(f"{unread} bytes of answers are not read yet, and {most} may be")

    def _rows(
        self,
        session: Session,
        schema: SchemaPayload,
        message: Message,
        sample: Sample | None = None,
    ) -> Event | None:
        """Take the rows of a message that are new.

        `sample` is a row by name that the message stands for.
        """
        stream = session.stream
        epoch = session.hello.epoch
        last = stream.last.get(epoch, 0)
        first = message.seq
        end = message.seq + message.n_rows - 1
        if first == 0:
            raise SourceError("seq starts at 1")
        if first > last + 1:
            self.streams.count_gap(first - last - 1)
            raise SourceError(
                f"row {first} does not follow row {last}: send the rows between first"
            )
        old = min(last + 1 - first, message.n_rows)
        if old:
            self.streams.stats["duplicates"] += old
        if old == message.n_rows:
            self._tell(session, Kind.ACK)
            return None
        if end > session.durable + self._credit:
            raise SourceError(
                f"row {end} is beyond the credit of {self._credit} rows after row {session.durable}"
            )
        wanted = session.hello.predict and message.kind is not Kind.LABEL
        tag = Request(session.peer, schema, first + old, message.n_rows - old) if wanted else None
        self.streams.claim(stream, schema)
        if sample is None:
            event: Event = stream.event(message, schema, skip=old, epoch=epoch, tag=tag)
        else:
            event = replace(sample, tag=tag)
            self.streams.stats["rows"] += 1
        stream.reach(epoch, end)
        if old:
            self._tell(session, Kind.ACK)
        return event

    def _readable(self, peer: bytes, frames: Sequence[bytes]) -> Event | None:
        """Take a row in words, which needs its seq.

        With bit 63 set in that, it is a request to predict.
        """
        session = self._session(peer, topic_name(frames[0], self.streams.limits))
        schema = session.schema
        name = session.stream.name
        if schema is None:
            raise SourceError("send the schema after hello")
        row = read_row(frames[1], schema.features, self.streams.limits)
        if row.seq is None:
            raise SourceError("a readable row needs its seq here")
        if row.seq & REQUEST_BIT:
            ask = as_ask(row, schema, name)
            self._check_ask(peer, schema, 1, len(ask.features))
            self.asks.put(peer, replace(ask, tag=Request(peer, schema, row.seq, 1)))
            self.streams.stats["asks"] += 1
            return None
        if row.sequence is not None:
            if schema.sequence is None:
                raise SourceError(
                    "a readable row has a sequence here only if the schema names a column for it"
                )
            row.x[schema.sequence] = row.sequence
        if has_text(row):
            sample = as_sample(row, schema, name, session.hello.epoch)
            message = Message(name, Kind.LABELLED, row.seq, row.t, 1, len(row.x), b"")
            return self._rows(session, schema, message, sample)
        return self._rows(session, schema, as_block(name, row.x, row.y, row.seq, row.t, schema))

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
        """Send the acks whose delay is over, forget last second's bad messages, and look for lost connections."""
        now = self._clock()
        if now - self._second >= 1.0:
            self._second = now
            self._bad.clear()
            self._wasted.clear()
            self._served.clear()
            self._free_at = {account: at for account, at in self._free_at.items() if at > now}
        if self.streams.crowded and now - self._probed >= _PROBE_EVERY:
            self.streams.crowded = False
            self._probed = now
            self._probe(now)
        if self._rate is not None:
            for session in self._by_source.values():
                self._ack_session(session)

    def _probe(self, now: float) -> None:
        """Send silent connections a heartbeat, since places ran short.

        The socket tells which of them are gone.
        """
        for session in self._by_source.values():
            if now - session.stream.heard > self.streams.limits.forget:
                self._tell(session, Kind.HEARTBEAT, seq=0)

    def _ack_session(self, session: Session) -> None:
        durable = session.durable
        if durable > session.acked:
            if self._rate is not None and not self._may(session.account, durable - session.acked):
                return
            session.acked = durable
            self.streams.stats["acks"] += 1
            self._tell(session, Kind.ACK)
        while session.ends and session.ends[0] <= session.acked:
            self._tell(session, Kind.ACK, seq=session.ends.pop(0))

    def _may(self, account: str, rows: int) -> bool:
        """Whether a peer's next ack may leave; each costs its rows at the agreed rate."""
        now = self._clock()
        if self._rate is None or now < self._free_at.get(account, now):
            return self._rate is None
        self._free_at[account] = now + rows / self._rate
        return True

    def reply(self, event: Event, values: NDArray[np.float32], classes: Sequence[Any]) -> None:
        """Send one kind 8 for an event that expects it."""
        if not isinstance(event, (PredictRequest, Block, Sample)) or event.tag is None:
            return
        request: Request = event.tag
        if request.peer not in self._sessions:
            self.streams.stats["unsent"] += 1
            return
        columns = request.add(_columns(values, classes, request.schema, len(values)))
        if columns is None:
            return
        if columns.shape[1] == 0:
            text = "the schema names no classes to predict"
            self._send(request.peer, event.source, Kind.ERROR, encode(Fault(text)))
            return
        if self.unread(request.peer) > self.streams.limits.unread_bytes:
            self.streams.stats["unsent"] += 1
            return
        self.streams.stats["replies"] += 1
        payload = np.ascontiguousarray(columns, dtype="<f4").tobytes()
        n_rows, width = columns.shape
        frames = pack(
            event.source, Kind.PREDICTION, payload, seq=request.seq, n_rows=n_rows, n_features=width
        )
        self.outbox.append((request.peer, frames))

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

    def _tell(
        self, session: Session, kind: Kind, payload: bytes = b"", seq: int | None = None
    ) -> None:
        self._send(
            session.peer,
            session.stream.name,
            kind,
            payload,
            session.durable if seq is None else seq,
        )

    def _send(
        self, peer: bytes, source: str, kind: Kind, payload: bytes = b"", seq: int = 0
    ) -> None:
        self.outbox.append((peer, pack(source, kind, payload, seq=seq)))


def _columns(
    values: NDArray[np.float32], classes: Sequence[Any], schema: SchemaPayload, n_rows: int
) -> NDArray[np.float32]:
    """Return values (n_rows, 1), or probabilities by the asker's classes.

    Uniform before any of them is learned.
    """
    if schema.task == "regression":
        return values.reshape(n_rows, 1)
    asked = schema.classes or ()
    slot = {str(label): j for j, label in enumerate(classes)}
    columns = np.zeros((n_rows, len(asked)), np.float32)
    for j, label in enumerate(asked):
        if label in slot:
            columns[:, j] = values[:, slot[label]]
    columns[~columns.any(axis=1)] = 1 / max(len(asked), 1)  # nothing known of any of them
    return columns
