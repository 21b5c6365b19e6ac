"""Live rows over ZeroMQ: pull, sub, reliable and request/reply, in the LS1 format."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from loco_stream.connectors.ls1.connections import Connections
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.outgoing import Outgoing
from loco_stream.connectors.ls1.receiver import Receiver
from loco_stream.connectors.ls1.remote_source import Streams
from loco_stream.connectors.ls1.security import Guard
from loco_stream.connectors.ls1.server_session import ServerSession
from loco_stream.connectors.ls1.sockets import Plug, open_plug
from loco_stream.connectors.merge import merged
from loco_stream.connectors.rows import check_task
from loco_stream.connectors.values import hint
from loco_stream.errors import ConfigError
from loco_stream.stream import Block, Event, Schema, Source

__all__ = ["MODES", "ZMQSource"]

_SLICE_MS = 20  # how often the connections are looked at while nothing comes
_TICK_MS = 100  # longest time without giving control back
_FAREWELL = (
    0.5  # seconds: a connection that ends takes along what its other end has not read yet, acks too
)
_BATCH_ROWS = (
    1024  # a commit of so many rows costs one fsync, and a signal waits for one commit at most
)
_BARREN = 32  # messages without a row that rows already received wait for
_BATCH_BYTES = 16 << 20  # what one commit reads at most
_ASKED_ROWS = 256  # rows of requests answered after a commit, or as many as it has learned
_BACKLOG = (
    256 << 20
)  # bytes that may wait in one connection where nothing but the socket's queue holds a sender back

MODES = {
    "pull": (
        zmq.PULL,
        True,
        "at most once: backpressure, but what is queued when the engine dies is lost",
    ),
    "sub": (
        zmq.SUB,
        False,
        "may lose rows: a late or slow subscriber misses some, gaps are counted",
    ),
    "reliable": (
        zmq.ROUTER,
        True,
        "exactly-once state: rows are acked when learned and durable, repeats are dropped",
    ),
    "reply": (
        zmq.ROUTER,
        True,
        "request/reply: each request is answered or asked again, rows are not logged",
    ),
}


class ZMQSource(Source):
    """Rows from other processes; the other end is `ZMQSender` or anything that speaks LS1.

    Each iteration waits at most 0.1 s, drains what has come into one list (one commit; single rows
    that follow each other are joined into blocks), and yields an empty list when nothing came.
    `stats` tells rows, gaps, duplicates, malformed and rejected messages, masked values and the
    rest; `last_error` is the last sentence said about a bad message.

    Parameters
    ----------
    address
        ``tcp://HOST:PORT`` or ``ipc://PATH``; port ``*`` takes a free one, named in `address`.
    mode
        ``"pull"``, ``"sub"``, ``"reliable"`` or ``"reply"``; each has its own `guarantee`.
    bind
        Whether to bind or to connect; None binds, except for sub.
    topic
        sub only: take sources whose name starts with it.
    task
        Refuse schemas of another task; None takes that of the first schema.
    keys
        Folder made by `keygen`: turns CURVE and the allow-list on.
    idle
        End after so many seconds without a message; None never does.
    max
        End with the block that brings so many rows.
    endless
        Go on after the end of stream (kind 5) of every source heard; pull and sub end there
        otherwise, reliable and reply never do.
    credit
        Reliable: rows a source may have on the way beyond the last ack, at least 64.
    rate
        Reliable: rows a second and peer (per key under CURVE, else per connection) above which acks
        are delayed.
    limits
        What peers may send, keep open and leave unread.

    Raises
    ------
    SourceError
        A port in use, a bind beyond this machine without CURVE, missing keys.
    ConfigError
        An option out of range.

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

    def __init__(
        self,
        address: str,
        mode: str = "pull",
        *,
        bind: bool | None = None,
        topic: str = "",
        task: str | None = None,
        keys: str | Path | None = None,
        idle: float | None = None,
        max: int | None = None,  # noqa: A002 - the option's name in the URL
        endless: bool = False,
        credit: int = 512,
        rate: float | None = None,
        limits: Limits | None = None,
    ) -> None:
        _check(mode, idle, max, credit, rate, topic)
        kind, binds, self.guarantee = MODES[mode]
        self.mode = mode
        self.needs_log = mode == "reliable"  # after an ack the sender forgets the rows
        limits = limits or Limits()
        self._idle = math.inf if idle is None else idle
        self._rows_left = math.inf if max is None else max
        self._endless = endless
        self._guard = Guard(keys) if keys is not None else None
        self._limits = limits
        self._streams = Streams(limits, check_task(task), self._guard)
        self._receiver = Receiver(self._streams)
        self._session = ServerSession(self._streams, credit, rate) if kind == zmq.ROUTER else None
        bind = binds if bind is None else bind
        self._answered = -math.inf
        self._plug: Plug = open_plug(
            kind, address, bind=bind, guard=self._guard, frame_bytes=limits.frame_bytes
        )
        self._listen(kind, bind)
        if kind == zmq.SUB:
            self._plug.socket.subscribe(topic)
        self.address = self._plug.address
        self.name = f"zmq+{mode}:{self.address.removeprefix('tcp:')}"

    def _listen(self, kind: int, bind: bool) -> None:
        """Watch who connects, and prepare the way back."""
        socket = self._plug.socket
        curve = self._guard is not None
        backlog = (
            0 if kind == zmq.ROUTER else _BACKLOG
        )  # credit and requests are bounded by the protocol
        self._connections = (
            Connections(socket, self._limits, backlog, curve) if bind and kind != zmq.SUB else None
        )
        self._outgoing: Outgoing | None = None
        if self._session is not None:
            self._outgoing = Outgoing(socket, self._limits, self._session.lost)
            self._session.unread = self._outgoing.unread

    @property
    def stats(self) -> dict[str, int]:
        """What has come since the start, and what was wrong with it."""
        refused = 0 if self._guard is None else self._guard.refused
        cut = 0 if self._connections is None else self._connections.cut
        return {**self._streams.stats, "refused": refused, "cut": cut}

    @property
    def last_error(self) -> str:
        """The last sentence said about a bad message; empty if there was none."""
        return self._receiver.last_error if self._session is None else self._session.last_error

    @property
    def schema(self) -> Schema | None:
        """The first source's schema; None until one has come."""
        return self._streams.schema

    @property
    def position(self) -> dict[str, Any]:
        """``{source: {epoch: seq}}`` of the rows handed out; under the empty name, the schemas."""
        return self._streams.position

    def seek(self, position: Mapping[str, Any]) -> None:
        """Start after `position`.

        In reliable mode the sources are told by hello and send the rest again.
        """
        self._streams.seek(position)
        if self._session is not None:
            self._session.reset()
            self._post()

    def ack(self, position: Mapping[str, Any]) -> None:
        """Everything up to `position` is learned and durable: tell the sources (reliable)."""
        if self._session is not None:
            self._session.ack(position)
            self._post()

    def reply(self, event: Event, values: NDArray[np.float32], classes: Sequence[Any]) -> None:
        """Send predictions (kind 8) to whoever sent `event`; events without a tag expect none."""
        if self._session is not None:
            self._session.reply(event, values, classes)
            self._post()

    def close(self) -> None:
        """Close the socket; the last answers get half a second to be read, what is queued one to leave."""
        if not self._plug.closed:
            time.sleep(max(0.0, self._answered + _FAREWELL - time.monotonic()))
            if self._connections is not None:
                self._connections.close()
        self._plug.close(linger=1.0)

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield lists of events, empty ones while nothing comes."""
        heard = time.monotonic()
        while self._rows_left > 0:
            if self._wait():
                heard = time.monotonic()
                yield self._drain()
            elif time.monotonic() - heard >= self._idle:
                return
            else:
                yield []
            if self._session is not None:
                self._session.tick()
                self._post()
            elif self._receiver.all_ended and not self._endless:
                return

    def _wait(self) -> bool:
        """Wait at most 0.1 s for something to do; watches the connections meanwhile."""
        if self._session is not None and self._session.asks:
            return True
        for _ in range(_TICK_MS // _SLICE_MS):
            if self._connections is not None:
                self._connections.check()
            if self._plug.socket.poll(_SLICE_MS):
                return True
        return False

    def _drain(self) -> list[Event]:
        """Take what has come, up to 1024 rows, and answer waiting requests with as many."""
        events: list[Event] = []
        rows = size = barren = 0
        most = min(_BATCH_ROWS, self._rows_left)
        while rows < most and size < _BATCH_BYTES and barren < (_BARREN if events else _BATCH_ROWS):
            if (received := self._receive()) is None:
                break
            size += sum(map(len, received[0]))
            event = self._take(*received)
            barren += event is None
            if event is not None:
                events.append(event)
                rows += len(event.X) if isinstance(event, Block) else 1
        self._rows_left -= rows
        if self._session is not None:
            self._post()
            return [*merged(events), *self._session.asks.take(max(rows, _ASKED_ROWS))]
        return merged(events)

    def _take(self, frames: list[bytes], key: str, fd: int) -> Event | None:
        if self._guard is not None and not self._guard.admits(
            key.encode()
        ):  # taken off the list since the handshake
            self._streams.stats["rejected"] += 1
            return None
        if self._session is None:
            return self._receiver.take(frames, key)
        event = self._session.take(frames[0], frames[1:], key)
        if event is None and self._connections is not None and self._session.wastes(frames[0]):
            self._connections.shut(fd)
        return event

    def _receive(self) -> tuple[list[bytes], str, int] | None:
        """Return one message, the sender's key and connection.

        Of too many frames just enough are kept to tell that.
        """
        most = self._limits.frames + (self._session is not None) + 1
        connections = self._connections
        try:
            first = self._plug.socket.recv(zmq.NOBLOCK, copy=False)
            rest = self._plug.socket.recv_multipart(zmq.NOBLOCK) if first.more else []
        except zmq.Again:
            if connections is not None:
                connections.drained = True
            return None
        frames = [first.bytes, *rest]
        fd = -1
        if connections is not None:
            fd = first.get(zmq.SRCFD)
            connections.check()
            connections.delivered(fd, rest if self._session is not None else frames)
        return frames[:most], "" if self._guard is None else str(first.get("User-Id")), fd

    def _post(self) -> None:
        """Send what the session has to say.

        A peer that is gone or does not read loses it, and asks again.
        """
        if self._session is None or self._outgoing is None:
            return
        outbox = self._session.outbox
        while outbox:
            if self._outgoing.send(*outbox.popleft()):
                self._answered = time.monotonic()
            else:
                self._streams.stats["unsent"] += 1


def _check(
    mode: str, idle: float | None, most: int | None, credit: int, rate: float | None, topic: str
) -> None:
    if mode not in MODES:
        raise ConfigError(
            f"mode must be one of {', '.join(MODES)}, not {mode!r}{hint(mode, MODES)}"
        )
    for name, value in (("idle", idle), ("max", most), ("rate", rate)):
        if value is not None and not value > 0:
            raise ConfigError(f"{name} must be > 0, not {value!r}")
    if credit < 64:
        raise ConfigError(f"credit must be at least 64 rows, not {credit}")
    if topic and mode != "sub":
        raise ConfigError(f"topic={topic!r} selects sources of zmq+sub alone, not of zmq+{mode}")
