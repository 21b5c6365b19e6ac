"""Rows from other processes over ZeroMQ, in the LS1 format."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import zmq

from loco_stream._arrays import Float32
from loco_stream._checks import checks_types, require_instance
from loco_stream._joins import Item, join_blocks
from loco_stream._text import did_you_mean
from loco_stream.connectors._base.checks import check_positive, check_task
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.field_selection import FieldSelection
from loco_stream.connectors._base.fields import FieldRoles
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors.ls1._connections import ConnectionLimiter
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._receiver import Receiver
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.connectors.ls1._reply_queue import ReplyQueue
from loco_stream.connectors.ls1._security import ServerKeys
from loco_stream.connectors.ls1._server_session import ServerSession
from loco_stream.connectors.ls1._sockets import name_fault, open_socket
from loco_stream.errors import ConfigError
from loco_stream.stream import Block, Event, Position, Schema, Source

_log = logging.getLogger(__name__)

_SLICE_MS = 20  # between two checks of the connections while nothing arrives
_TICK_MS = 100  # after which a wait yields an empty list
_FAREWELL_SECONDS = 0.5  # for peers to read the last replies: a closed connection discards them
_BATCH_ROWS = 1024  # per commit, which costs one fsync; a signal waits for one commit at most
_BATCH_BYTES = 16 << 20
_MAX_EMPTY = 32  # messages without a row that rows already received wait for
_MIN_REQUEST_ROWS = 256  # of requests answered per commit
_MAX_AHEAD = 1024  # messages read while nothing can be acknowledged
_MAX_AHEAD_BYTES = 16 << 20
_MAX_BACKLOG = 256 << 20  # bytes that may wait in a connection, where the protocol has no bound


_Received: TypeAlias = tuple[list[bytes], str, int]  # frames, the sender's key, connection


class _Mode(NamedTuple):
    socket: int
    binds: bool
    summary: str
    guarantee: str


MODES = {
    "pull": _Mode(
        zmq.PULL,
        True,
        "Rows that senders push over ZeroMQ",
        "at most once (queued rows are lost if the engine dies)",
    ),
    "sub": _Mode(
        zmq.SUB,
        False,
        "Rows of ZeroMQ publishers",
        "may lose rows (of late or slow subscribers; gaps are counted)",
    ),
    "reliable": _Mode(
        zmq.ROUTER,
        True,
        "Rows over ZeroMQ that are acknowledged",
        "exactly once (rows are acked when learned and durable)",
    ),
    "reply": _Mode(
        zmq.ROUTER,
        True,
        "Rows over ZeroMQ, each answered with a prediction",
        "requests are answered (rows are not logged)",
    ),
}


class ZMQSource(Source):
    """Rows from other processes, sent by `ZMQSender` or any client of the LS1 protocol.

    Each iteration waits up to 0.1 s and yields everything that has arrived as one commit; single
    rows that follow each other are joined to blocks.

    Parameters
    ----------
    address
        ``tcp://HOST:PORT`` or ``ipc://PATH``. Port ``*`` takes a free one, see the attribute
        `address`.
    mode
        ``pull``, ``sub``, ``reliable`` or ``reply``; each has its own `guarantee`.
    bind
        Bind instead of connect. By default all modes but sub bind.
    topic
        Prefix of the sources to receive (sub only).
    task
        Schemas of another task are refused. By default the task is that of the first schema.
    keys
        Folder made by `keygen`; turns CURVE encryption and the allow-list on.
    idle
        Time without a message after which the source ends. By default it does not.
    max
        Number of rows after which the source ends, with the block that reaches it.
    endless
        Continue after all senders have sent an end of stream. Without it, pull and sub end there;
        reliable and reply never do.
    credit
        Flow-control window of reliable and reply: rows that a sender may have in flight after the
        last ack, at least 64.
    rate
        Rows per second and peer above which acks are delayed (reliable). A peer is a key under
        CURVE, otherwise a connection.
    limits
        Bounds on what peers may send, keep open and leave unread.
    keep
        Fields that the record of the prediction repeats under `keep`; they may be features too.
    drop
        Fields that are not features.
    use
        The only fields that are features.

    Raises
    ------
    SourceError
        The port is in use, keys are missing, or other machines could reach a bind without CURVE.
    ConfigError
        An option is out of range.

    Examples
    --------
    >>> from loco_stream.connectors import ZMQSender, ZMQSource
    >>> source = ZMQSource("tcp://127.0.0.1:*", idle=1.0)
    >>> with ZMQSender(source.address, features=["a", "b"], classes=["off", "on"]) as sender:
    ...     sender.send({"a": 1.0, "b": 2.5}, "on")
    1
    >>> for events in source:
    ...     for block in events:
    ...         print(block.X.tolist(), block.y)
    [[1.0, 2.5]] ['on']
    >>> source.close()
    """

    is_live = True

    @checks_types
    def __init__(
        self,
        address: str,
        mode: str = "pull",
        *,
        bind: bool | None = None,
        topic: str = "",
        task: str | None = None,
        keys: str | Path | None = None,
        idle: Seconds | None = None,
        max: int | None = None,  # noqa: A002 - the name of the URL option
        endless: bool = False,
        credit: int = 512,
        rate: float | None = None,
        limits: Limits | None = None,
        keep: Sequence[str] = (),
        drop: Sequence[str] = (),
        use: Sequence[str] = (),
    ) -> None:
        fields = FieldRoles(keep=tuple(keep), drop=tuple(drop), use=tuple(use))
        self.used = fields.use
        self._selection = FieldSelection(fields)
        check_positive(idle=idle, max=max, rate=rate)
        _check(mode, credit, topic)
        self.mode = mode
        self.guarantee = MODES[mode].guarantee
        self.needs_log = mode == "reliable"  # after an ack, the sender forgets the rows
        self._idle = idle or math.inf
        self._rows_left = max or math.inf
        self._endless = endless
        self._keys = ServerKeys(keys) if keys is not None else None
        require_instance("limits", limits, Limits)
        self._limits = limits or Limits()
        self._sources = RemoteSources(self._limits, check_task(task), self._keys)
        self._receiver = Receiver(self._sources)
        self._session: ServerSession | None = None
        self._replies: ReplyQueue | None = None
        self._limiter: ConnectionLimiter | None = None
        self._replied_at = -math.inf
        self._ahead: deque[_Received] = deque()  # messages read by `hold`
        self._told: set[bytes] = set()  # connections that were told why nothing is acknowledged
        self._open(address, MODES[mode].binds if bind is None else bind, credit, rate)
        if mode == "sub":
            self._socket.socket.subscribe(topic)
        self.address = self._socket.address
        self.name = f"zmq+{mode}:{self.address.removeprefix('tcp:')}"

    def _open(self, address: str, bind: bool, credit: int, rate: float | None) -> None:
        """Open the socket, and what watches its connections and sends replies."""
        kind = MODES[self.mode].socket
        limits = self._limits
        self._socket = open_socket(
            kind, address, bind=bind, keys=self._keys, frame_bytes=limits.frame_bytes
        )
        if not bind and (fault := name_fault(self._socket.address)):
            _log.warning("%s; still trying", fault)
        socket = self._socket.socket
        if bind and kind != zmq.SUB:
            backlog = 0 if kind == zmq.ROUTER else _MAX_BACKLOG
            encrypted = self._keys is not None
            self._limiter = ConnectionLimiter(socket, limits, backlog, encrypted)
        if kind == zmq.ROUTER:
            self._session = ServerSession(self._sources, credit, rate)
            self._replies = ReplyQueue(socket, limits, self._session.close)
            self._session.unread = self._replies.unread

    @property
    def stats(self) -> dict[str, int]:
        """Counts of messages and rows, and of what was wrong with them."""
        refused = 0 if self._keys is None else self._keys.n_refused
        limiter = self._limiter
        return {
            **self._sources.stats,
            "refused": refused,
            "cut": 0 if limiter is None else limiter.n_cut,
            "disconnects": 0 if limiter is None else limiter.n_ended,
        }

    @property
    def last_error(self) -> str:
        """Description of the most recent bad message; empty if there was none."""
        return self._receiver.last_error if self._session is None else self._session.last_error

    @property
    def schema(self) -> Schema | None:
        """Schema of the first sender; None until it is known."""
        return self._sources.schema

    @property
    def position(self) -> Position:
        """``{source: {epoch: seq}}`` of the rows read; under the empty name, the schemas."""
        return self._sources.position

    def seek(self, position: Position) -> None:
        """Continue after `position`; in reliable mode, senders are asked to start again there."""
        self._sources.seek(position)
        if self._session is not None:
            self._session.reset()
            self._send_outbox()

    def ack(self, position: Position) -> None:
        """Ack the rows up to `position` to their senders (reliable)."""
        if self._session is not None:
            self._session.ack(position)
            self._send_outbox()

    def hold(self, seconds: float, reason: str) -> None:
        """Wait; the first hello of each connection is answered with the reason.

        Messages that come meanwhile are kept, up to a bound, and processed afterwards.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._session is None or not self._has_room_ahead():
                time.sleep(left)
            elif self._socket.socket.poll(math.ceil(1000 * left)):
                self._read_ahead(self._session, reason)

    def _has_room_ahead(self) -> bool:
        n_bytes = sum(len(frame) for frames, *_ in self._ahead for frame in frames)
        return len(self._ahead) < _MAX_AHEAD and n_bytes < _MAX_AHEAD_BYTES

    def _read_ahead(self, session: ServerSession, reason: str) -> None:
        received = self._receive_new()
        if received is None:
            return
        self._ahead.append(received)
        (peer, *frames), key, _ = received
        is_admitted = self._keys is None or self._keys.admits(key.encode())
        # a second error would make a sender say hello a third time, and give up
        if is_admitted and peer not in self._told and session.answer_hello(peer, frames, reason):
            self._told.add(peer)
            self._send_outbox()

    def reply(self, event: Event, values: Float32, classes: Sequence[Any]) -> None:
        """Send the prediction for `event` to the peer that waits for it."""
        if self._session is not None:
            self._session.reply(event, values, classes)
            self._send_outbox()

    def close(self) -> None:
        """Close the socket; the last replies get half a second to be read."""
        if not self._socket.closed:
            time.sleep(max(0.0, self._replied_at + _FAREWELL_SECONDS - time.monotonic()))
            if self._limiter is not None:
                self._limiter.close()
        self._socket.close(linger=1.0)

    def __iter__(self) -> Iterator[Item]:
        """Yield lists of events, empty ones while nothing arrives."""
        last = time.monotonic()
        while self._rows_left > 0:
            if self._wait():
                last = time.monotonic()
                yield self._read_commit()
            elif time.monotonic() - last >= self._idle:
                return
            else:
                yield []
            if self._session is not None:
                self._session.tick()
                self._send_outbox()
            elif self._receiver.all_ended and not self._endless:
                return

    def _wait(self) -> bool:
        """Wait up to 0.1 s for something to do; check the connections meanwhile."""
        if self._ahead or (self._session is not None and self._session.requests):
            return True
        for _ in range(_TICK_MS // _SLICE_MS):
            if self._limiter is not None:
                self._limiter.check()
            if self._socket.socket.poll(_SLICE_MS):
                return True
        return False

    def _read_commit(self) -> list[Event]:
        """Return what has arrived, up to 1024 rows, and requests with as many rows."""
        events: list[Event] = []
        n_rows = n_bytes = n_empty = 0
        max_rows = min(_BATCH_ROWS, self._rows_left)
        while n_rows < max_rows and n_bytes < _BATCH_BYTES:
            if n_empty >= (_MAX_EMPTY if events else _BATCH_ROWS):
                break
            if (received := self._receive()) is None:
                break
            n_bytes += sum(map(len, received[0]))
            event = self._take(*received)
            if event is None:
                n_empty += 1
            else:
                events += self._selection.apply(event)
                n_rows += len(event.X) if isinstance(event, Block) else 1
        self._rows_left -= n_rows
        if self._session is None:
            return join_blocks(events)
        self._send_outbox()
        requests = self._session.requests.take(max(n_rows, _MIN_REQUEST_ROWS))
        return [*join_blocks(events), *map(self._selection.of_request, requests)]

    def _take(self, frames: list[bytes], key: str, fd: int) -> Event | None:
        """Return the event in a message, of the sender's key and connection."""
        if self._keys is not None and not self._keys.admits(key.encode()):
            self._sources.stats["rejected"] += 1  # removed from the list since the handshake
            return None
        if self._session is None:
            return self._receiver.take(frames, key)
        event = self._session.take(frames[0], frames[1:], key)
        if event is None and self._limiter is not None and self._session.is_wasteful(frames[0]):
            self._limiter.shut(fd)
        return event

    def _receive(self) -> _Received | None:
        """Return the next message, the oldest of those that were read ahead first."""
        if self._ahead:
            return self._ahead.popleft()
        self._told.clear()
        return self._receive_new()

    def _receive_new(self) -> _Received | None:
        """Return a message from the socket; None if there is none.

        Of too many frames, just enough are kept to find that out.
        """
        try:
            first = self._socket.socket.recv(zmq.NOBLOCK, copy=False)
            rest = self._socket.socket.recv_multipart(zmq.NOBLOCK) if first.more else []
        except zmq.Again:
            if self._limiter is not None:
                self._limiter.is_drained = True
            return None
        has_id = self._session is not None  # a ROUTER adds the routing id as first frame
        frames = [first.bytes, *rest]
        fd = -1
        if self._limiter is not None:
            fd = first.get(zmq.SRCFD)
            self._limiter.check()
            self._limiter.count(fd, rest if has_id else frames)
        key = "" if self._keys is None else str(first.get("User-Id"))
        return frames[: self._limits.frames + has_id + 1], key, fd

    def _send_outbox(self) -> None:
        """Send the session's messages; a peer that does not read loses them, and will ask again."""
        if self._session is None or self._replies is None:
            return
        outbox = self._session.outbox
        while outbox:
            if self._replies.send(*outbox.popleft()):
                self._replied_at = time.monotonic()
            else:
                self._sources.stats["unsent"] += 1


def _check(mode: str, credit: int, topic: str) -> None:
    if mode not in MODES:
        raise ConfigError(
            f"`mode` must be one of {', '.join(MODES)}, got {mode!r}{did_you_mean(mode, MODES)}"
        )
    if credit < 64:
        raise ConfigError(f"`credit` must be at least 64 rows, got {credit}")
    if topic and mode != "sub":
        raise ConfigError(f"`topic` must be empty in mode {mode!r}, got {topic!r}")


def _connector(mode: str, *options: str) -> Connector:
    """Return the definition of a mode; `options` are those that no other mode has."""
    others = {"topic", "credit", "rate"}.difference(options)
    url = f"zmq+{mode}://127.0.0.1:5555"
    return Connector(
        f"zmq+{mode}",
        ZMQSource,
        {url: MODES[mode].guarantee},
        about=MODES[mode].summary,
        fixed={"mode": mode},
        aliases={"connect": "not bind"},
        hidden=frozenset({"keys", *others}),
    )


CONNECTORS = (
    _connector("pull"),
    _connector("sub", "topic"),
    _connector("reliable", "credit", "rate"),
    _connector("reply", "credit", "rate"),
)
