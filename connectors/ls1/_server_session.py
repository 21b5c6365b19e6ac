"""The engine's side of the reliable protocol, without a socket."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from loco_stream._arrays import Float32
from loco_stream.connectors.ls1._client_session import SAY_HELLO
from loco_stream.connectors.ls1._json_rows import (
    check_label,
    has_text,
    to_message,
    to_request,
    to_sample,
)
from loco_stream.connectors.ls1._messages import (
    ErrorPayload,
    FlowControl,
    Hello,
    NamedLabel,
    SchemaPayload,
    decode,
    encode,
    read_row,
    read_schema,
)
from loco_stream.connectors.ls1._predict_requests import PendingReply, RequestQueue
from loco_stream.connectors.ls1._remote_source import RemoteSource, RemoteSources
from loco_stream.connectors.ls1._wire import REQUEST_BIT, Kind, Message, pack, topic_name, unpack
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Event, Labels, Position, PredictRequest, Sample

_MAX_ERRORS_ANSWERED = 20  # per second and peer, while other peers send rows
_PROBE_SECONDS = 1.0  # between two checks whether silent connections still exist


@dataclass(slots=True)
class PeerSession:
    """Session of one connection that has sent a hello.

    Parameters
    ----------
    peer
        Its routing id.
    source
        The sender.
    hello
        Its hello.
    account
        What its rate is counted for: the key under CURVE, otherwise the connection.
    schema
        Its last schema.
    acked
        Highest seq that was acked.
    ends
        Seqs of ends of stream that are not acked yet.
    """

    peer: bytes
    source: RemoteSource
    hello: Hello
    account: str
    schema: SchemaPayload | None = None
    acked: int = 0
    ends: list[int] = field(default_factory=list)

    @property
    def durable(self) -> int:
        """Highest durable seq of the sender's epoch."""
        return self.source.durable.get(self.hello.epoch, 0)


@dataclass(slots=True)
class _Second:
    """What happened within the present second, per peer."""

    since: float
    n_errors: Counter[bytes] = field(default_factory=Counter)
    wasted: Counter[bytes] = field(default_factory=Counter)  # bytes without a row or request
    useful: set[bytes] = field(default_factory=set)  # peers that sent rows

    def others_work(self, peer: bytes) -> bool:
        """Whether other peers sent rows."""
        return bool(self.useful - {peer})


class ServerSession:
    """Serves the connections of one ROUTER socket.

    `take` converts a message to an event or None and adds answers to `outbox`; predict requests are
    added to `requests`. `ack` adds the acks to `outbox`, `reply` the predictions. Only a hello
    opens a session, and the newest hello of a sender counts.

    Parameters
    ----------
    sources
        State of the senders, which outlives the connections.
    window
        Flow-control window: rows that a sender may have in flight after the last ack.
    rate
        Rows per second above which the acks of a peer are delayed; None never delays.
    clock
        Monotonic time in seconds.

    Attributes
    ----------
    outbox
        Messages to send, with the peers that they are for.
    requests
        Predict requests that wait.
    unread
        Returns the bytes of replies that a peer has not read.
    last_error
        Description of the most recent bad message; empty if there was none.
    """

    def __init__(
        self,
        sources: RemoteSources,
        window: int,
        rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sources = sources
        self.outbox: deque[tuple[bytes, list[bytes]]] = deque()
        self.requests = RequestQueue(sources.limits)
        self.unread: Callable[[bytes], int] = lambda _peer: 0
        self.last_error = ""
        self._window = window
        self._rate = rate
        self._clock = clock
        self._by_peer: dict[bytes, PeerSession] = {}
        self._by_source: dict[str, PeerSession] = {}
        self._free_at: dict[str, float] = {}  # when an account may get its next ack
        self._second = _Second(clock())
        self._probed_at = self._second.since - _PROBE_SECONDS
        sources.on_forget = self._forget

    # Messages

    def take(self, peer: bytes, frames: Sequence[bytes], key: str = "") -> Event | None:
        """Process a message.

        Parameters
        ----------
        peer
            Routing id of its sender.
        frames
            The message.
        key
            Public key of the sender under CURVE.
        """
        stats = self.sources.stats
        stats["messages"] += 1
        if self._second.n_errors and self._is_flooding(peer):
            stats["ignored"] += 1
            self._count_waste(peer, frames)
            return None
        n_requests = stats["asks"]
        event = self._read(peer, frames, key)
        if event is not None:
            self._second.useful.add(peer)
        elif stats["asks"] == n_requests:
            self._count_waste(peer, frames)
        return event

    def is_wasteful(self, peer: bytes) -> bool:
        """Whether a peer sent so many useless bytes that its connection should be closed."""
        wasted = self._second.wasted[peer]
        limit = 2 * self.sources.limits.frame_bytes
        return wasted > limit and self._second.others_work(peer)

    def _is_flooding(self, peer: bytes) -> bool:
        """Whether a peer sent so many bad messages in this second that other peers come first."""
        n_errors = self._second.n_errors[peer]
        return n_errors >= _MAX_ERRORS_ANSWERED and self._second.others_work(peer)

    def _count_waste(self, peer: bytes, frames: Sequence[bytes]) -> None:
        self._second.wasted[peer] += sum(map(len, frames))

    def _read(self, peer: bytes, frames: Sequence[bytes], key: str) -> Event | None:
        counter = "malformed"
        try:
            if len(frames) == 2:
                return self._take_row(peer, frames)
            message = unpack(frames, self.sources.limits)
            counter = "rejected"
            return self._serve(peer, message, key)
        except Exception as e:  # one message must not end the stream, whatever it contains
            self.sources.stats[counter] += 1
            is_foreseen = isinstance(e, SourceError)
            text = str(e) if is_foreseen else f"the message cannot be read: {type(e).__name__}"
            self._answer_error(peer, frames, text)
            return None

    def _serve(self, peer: bytes, message: Message, key: str) -> Event | None:
        if message.kind is Kind.HEARTBEAT:
            return None
        if message.kind is Kind.HELLO:
            self._open(peer, message, key)
            return None
        session = self._session(peer, message.source)
        if message.kind is Kind.SCHEMA:
            schema = read_schema(message.payload, self.sources.limits)
            self.sources.adopt(session.source, schema)
            session.schema = session.source.schema
            return None
        if message.kind is Kind.END:
            self._end(session, message.seq)
            return None
        if message.kind in {Kind.ACK, Kind.PREDICTION, Kind.ERROR}:
            raise SourceError(f"kind {message.kind:d} must come from the engine only")
        if session.schema is None:
            raise SourceError("send the schema after hello")
        if message.kind is Kind.REQUEST:
            self._request(session, session.schema, message)
            return None
        return self._rows(session, session.schema, message)

    def _session(self, peer: bytes, name: str) -> PeerSession:
        session = self._by_peer.get(peer)
        if session is None:
            raise SourceError(SAY_HELLO)
        session.source.active_at = self._clock()
        if name != session.source.name:
            raise SourceError(
                f"the topic must be {session.source.name!r} as in hello, got {name!r}"
            )
        return session

    def _open(self, peer: bytes, message: Message, key: str) -> None:
        """Open a session, and close those of the same peer and of the same sender."""
        hello = decode(message.payload, Hello)
        if hello.source != message.source:
            raise SourceError(
                f"the topic must be {hello.source!r} as in hello, got {message.source!r}"
            )
        source = self.sources.find(hello.source, key)
        self.close(peer)
        self._displace(hello.source)
        self._begin(PeerSession(peer, source, hello, key or peer.hex()))

    def _begin(self, session: PeerSession) -> None:
        session.acked = session.durable
        session.source.connected = True
        self._by_peer[session.peer] = session
        self._by_source[session.hello.source] = session
        self._send(session, Kind.HELLO, encode(FlowControl(self._window)))

    def _displace(self, name: str) -> None:
        """Close the session of another connection of the same sender, if there is one."""
        rival = self._by_source.get(name)
        if rival is not None:
            self.close(rival.peer)
            self._send_error(rival, _taken(name))

    def close(self, peer: bytes) -> None:
        """Close the session of a connection that is gone, or that sends a new hello."""
        session = self._by_peer.pop(peer, None)
        if session is None:
            return
        self.requests.drop(peer)
        session.source.connected = False
        if self._by_source.get(session.source.name) is session:
            del self._by_source[session.source.name]

    def _forget(self, source: RemoteSource) -> None:
        """Close the session of a sender that is forgotten in favour of another."""
        session = self._by_source.get(source.name)
        if session is not None:
            self.close(session.peer)

    def _request(self, session: PeerSession, schema: SchemaPayload, message: Message) -> None:
        self._check_request(session.peer, schema, message.n_rows, message.n_features)
        tag = PendingReply(session.peer, schema, message.seq, message.n_rows)
        request = session.source.event(message, schema, tag=tag)
        assert isinstance(request, PredictRequest)
        self.requests.put(session.peer, request)

    def _check_request(
        self, peer: bytes, schema: SchemaPayload, n_rows: int, n_features: int
    ) -> None:
        n_columns = 1 if schema.task == "regression" else len(schema.classes or ())
        self.requests.check(peer, n_rows, n_features, n_columns)
        unread = self.unread(peer)
        limit = self.sources.limits.unread_bytes
        if unread > limit:
            raise SourceError(
                f"at most {limit} bytes of replies may be unread (unread_bytes), got {unread}"
            )

    def _rows(
        self,
        session: PeerSession,
        schema: SchemaPayload,
        message: Message,
        sample: Sample | None = None,
    ) -> Event | None:
        """Return the new rows of a message; `sample` is the row by name that it stands for."""
        source = session.source
        epoch = session.hello.epoch
        n_old = self._count_known(session, message)
        if n_old == message.n_rows:
            self._send(session, Kind.ACK)
            return None
        self._check_window(session, message)
        first = message.seq + n_old
        tag = None
        if session.hello.predict and message.kind is not Kind.LABEL:
            tag = PendingReply(session.peer, schema, first, message.n_rows - n_old)
        self.sources.claim(source, schema)
        if sample is None:
            event: Event = source.event(message, schema, skip=n_old, epoch=epoch, tag=tag)
        else:
            event = replace(sample, tag=tag)
            self.sources.stats["rows"] += 1
        source.advance(epoch, message.seq + message.n_rows - 1)
        if n_old:
            self._send(session, Kind.ACK)
        return event

    def _count_known(self, session: PeerSession, message: Message) -> int:
        """Return the number of rows at the start of a message that were read before."""
        last = session.source.last.get(session.hello.epoch, 0)
        if message.seq == 0:
            raise SourceError("seq must start at 1")
        if message.seq > last + 1:
            self.sources.count_gap(message.seq - last - 1)
            raise SourceError(f"seq must be {last + 1} or lower, got {message.seq}")
        n_old = min(last + 1 - message.seq, message.n_rows)
        self.sources.stats["duplicates"] += n_old
        return n_old

    def _check_window(self, session: PeerSession, message: Message) -> None:
        last = message.seq + message.n_rows - 1
        if last > session.durable + self._window:
            raise SourceError(
                f"row {last:,} is beyond the flow-control window of {self._window:,} rows after "
                f"row {session.durable:,}"
            )

    def _take_row(self, peer: bytes, frames: Sequence[bytes]) -> Event | None:
        """Process a row by name, which needs a seq; with bit 63 set, it is a predict request."""
        session = self._session(peer, topic_name(frames[0], self.sources.limits))
        schema = session.schema
        name = session.source.name
        if schema is None:
            raise SourceError("send the schema after hello")
        row = read_row(frames[1], schema.features, self.sources.limits)
        if row.seq is None:
            raise SourceError("a row or label by name must have a seq in this mode")
        if isinstance(row, NamedLabel):
            return self._label(session, schema, row)
        if row.seq & REQUEST_BIT:
            self._take_request(peer, schema, to_request(row, schema, name))
            return None
        if row.sequence is not None:
            if schema.sequence is None:
                raise SourceError(
                    "a row by name must have a sequence only if the schema names its column"
                )
            row.x[schema.sequence] = row.sequence
        if has_text(row) or row.id is not None:
            sample = to_sample(row, schema, name, session.hello.epoch)
            message = Message(name, Kind.LABELLED, row.seq, row.t, 1, len(row.x), b"")
            return self._rows(session, schema, message, sample)
        return self._rows(session, schema, to_message(row, schema, name))

    def _take_request(self, peer: bytes, schema: SchemaPayload, request: PredictRequest) -> None:
        self._check_request(peer, schema, 1, len(request.features))
        tag = PendingReply(peer, schema, request.seq, 1)
        self.requests.put(peer, replace(request, tag=tag))
        self.sources.stats["asks"] += 1

    def _label(
        self, session: PeerSession, schema: SchemaPayload, label: NamedLabel
    ) -> Event | None:
        """Return the label of a row with an id; it takes a seq of its own, as any row."""
        name = session.source.name
        message = Message(name, Kind.LABEL, label.seq or 0, math.nan, 1, 0, b"")
        if self._count_known(session, message):
            self._send(session, Kind.ACK)
            return None
        self._check_window(session, message)
        y = check_label(label.label, schema)
        epoch = session.hello.epoch
        session.source.advance(epoch, message.seq)
        self.sources.stats["labels"] += 1
        return Labels([label.id], [y], message.seq, name, epoch, by_id=True)

    def _end(self, session: PeerSession, seq: int) -> None:
        last = session.source.last.get(session.hello.epoch, 0)
        if seq > last:
            raise SourceError(f"the last row of the stream must be {last} or lower, got {seq}")
        if seq <= session.durable:
            self._send(session, Kind.ACK, seq=seq)
        else:
            session.ends.append(seq)

    # Acks and replies

    def reset(self) -> None:
        """Make every sender start its session again: the position has changed."""
        for session in self._by_peer.values():
            self._send_error(session, SAY_HELLO)
        self._by_peer.clear()
        self._by_source.clear()

    def answer_hello(self, peer: bytes, frames: Sequence[bytes], error: str) -> bool:
        """Answer a message with an error if it is a hello; return whether it is one."""
        try:
            message = unpack(frames, self.sources.limits)
        except SourceError:
            return False
        if message.kind is not Kind.HELLO:
            return False
        self._refuse(peer, message.source, error)
        return True

    def ack(self, position: Position) -> None:
        """Mark everything up to `position` durable, and ack it."""
        for source in self.sources.mark_durable(position):
            session = self._by_source.get(source.name)
            if session is not None:
                self._ack_session(session)

    def tick(self) -> None:
        """Send delayed acks, and look for connections that are gone; call it often."""
        now = self._clock()
        if now - self._second.since >= 1.0:
            self._second = _Second(now)
            self._free_at = {account: at for account, at in self._free_at.items() if at > now}
        if self.sources.is_full and now - self._probed_at >= _PROBE_SECONDS:
            self.sources.is_full = False
            self._probed_at = now
            self._probe(now)
        if self._rate is not None:
            for session in self._by_source.values():
                self._ack_session(session)

    def _probe(self, now: float) -> None:
        """Send a heartbeat to silent connections: the socket reports those that are gone."""
        for session in self._by_source.values():
            if now - session.source.active_at > self.sources.limits.forget:
                self._send(session, Kind.HEARTBEAT, seq=0)

    def _ack_session(self, session: PeerSession) -> None:
        durable = session.durable
        if durable > session.acked:
            if not self._may_ack(session.account, durable - session.acked):
                return
            session.acked = durable
            self.sources.stats["acks"] += 1
            self._send(session, Kind.ACK)
        while session.ends and session.ends[0] <= session.acked:
            self._send(session, Kind.ACK, seq=session.ends.pop(0))

    def _may_ack(self, account: str, n_rows: int) -> bool:
        """Whether the rate of an account allows an ack now; its rows are then counted."""
        if self._rate is None:
            return True
        now = self._clock()
        if now < self._free_at.get(account, now):
            return False
        self._free_at[account] = now + n_rows / self._rate
        return True

    def reply(self, event: Event, values: Float32, classes: Sequence[Any]) -> None:
        """Send the prediction for an event (kind 8) to the peer that waits for it."""
        if not isinstance(event, (PredictRequest, Block, Sample)) or event.tag is None:
            return
        pending: PendingReply = event.tag
        if pending.peer not in self._by_peer:
            self.sources.stats["unsent"] += 1
            return
        table = pending.add(_reply_columns(values, classes, pending.schema))
        if table is None:
            return
        if table.shape[1] == 0:
            self._refuse(pending.peer, event.source, "the schema must name the classes to predict")
            return
        if self.unread(pending.peer) > self.sources.limits.unread_bytes:
            self.sources.stats["unsent"] += 1
            return
        self.sources.stats["replies"] += 1
        self.outbox.append((pending.peer, _pack_reply(event.source, pending.seq, table)))

    # Messages to peers

    def _answer_error(self, peer: bytes, frames: Sequence[bytes], error: str) -> None:
        self.last_error = error
        self._second.n_errors[peer] += 1
        session = self._by_peer.get(peer)
        if session is not None:
            self._send_error(session, error)
            return
        try:
            name = topic_name(frames[0], self.sources.limits) if frames else "?"
        except SourceError:
            name = "?"
        if error == SAY_HELLO:  # part of the protocol, and no reason
            is_taken = name in self._by_source
            self.last_error = _taken(name) if is_taken else f"{name!r} sent rows before its hello"
        self._refuse(peer, name, error)

    def _refuse(self, peer: bytes, name: str, error: str) -> None:
        self.outbox.append((peer, pack(name, Kind.ERROR, encode(ErrorPayload(error)))))

    def _send_error(self, session: PeerSession, error: str) -> None:
        self._send(session, Kind.ERROR, encode(ErrorPayload(error)))

    def _send(
        self, session: PeerSession, kind: Kind, payload: bytes = b"", seq: int | None = None
    ) -> None:
        """Add a message to the outbox; its seq is the highest durable one, unless given."""
        seq = session.durable if seq is None else seq
        self.outbox.append((session.peer, pack(session.source.name, kind, payload, seq=seq)))


def _taken(name: str) -> str:
    return f"another connection said hello as {name!r}: each sender needs a name of its own"


def _reply_columns(values: Float32, classes: Sequence[Any], schema: SchemaPayload) -> Float32:
    """Return values (n_rows, 1), or probabilities in the order of the schema's classes.

    They are uniform while none of these classes is learned.
    """
    if schema.task == "regression":
        return values.reshape(len(values), 1)
    wanted = schema.classes or ()
    slots = {str(label): j for j, label in enumerate(classes)}
    columns = np.zeros((len(values), len(wanted)), np.float32)
    for j, label in enumerate(wanted):
        if label in slots:
            columns[:, j] = values[:, slots[label]]
    columns[~columns.any(axis=1)] = 1 / max(len(wanted), 1)
    return columns


def _pack_reply(source: str, seq: int, table: Float32) -> list[bytes]:
    payload = np.ascontiguousarray(table, dtype="<f4").tobytes()
    n_rows, n_columns = table.shape
    return pack(source, Kind.PREDICTION, payload, seq=seq, n_rows=n_rows, n_features=n_columns)
