"""Open connections of a listening socket.

How many, and how many bytes each has sent that became no message.

libzmq bounds a frame (MAXMSGSIZE) and the number of whole messages that wait (RCVHWM). It bounds
neither the parts of a message that never ends, nor the bytes that wait, nor the connections. The
operating system counts the bytes of each connection, so what a peer has sent and the engine has not
received is known from outside, and a connection that exceeds its share is shut down. Where the
operating system does not tell (anything but Linux, and ``ipc://``), only libzmq's own bounds hold.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket as system
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import zmq
from zmq.utils.monitor import recv_monitor_message

from loco_stream.connectors.ls1.limits import Limits

__all__ = ["Connections"]

_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_TCP_INFO = getattr(system, "TCP_INFO", None)
_RECEIVED = struct.Struct("<Q")
_RECEIVED_AT = 128  # tcpi_bytes_received in struct tcp_info, Linux >= 4.1
_CHECK_EVERY = 0.02  # seconds; a connection on the same machine sends a gigabyte a second
_RESERVE = 16  # file descriptors left for the log and the checkpoints
_CURVE = 33  # bytes that CURVE adds to a frame: command name, nonce, authenticator, flags


@dataclass(slots=True)
class _Connection:
    """One accepted connection, by its file descriptor."""

    since: float
    spoke: bool = False
    fresh: bool = False  # whether a message has come since `delivered` was set right
    received: int = 0  # bytes that the operating system has received
    delivered: int = (
        0  # bytes of the messages that the engine has received, as they are on the wire
    )


class Connections:
    """Watches the connections of one listening socket and shuts down those beyond the bounds.

    Parameters
    ----------
    socket
        The listening socket.
    limits
        `connections`, and `frame_bytes`: twice as much may be on its way in one connection.
    backlog
        Bytes of whole messages that may wait in one connection besides.
    curve
        Whether the frames are encrypted: they are longer on the wire then.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], limits: Limits, backlog: int, curve: bool
    ) -> None:
        self.cut = 0
        self.drained = False  # whether the engine has received all there was since the last check
        self._most_bytes = 2 * limits.frame_bytes + backlog
        self._most = max(8, min(limits.connections, _free_files() - _RESERVE))
        self._extra = _CURVE if curve else 0
        self._socket = socket
        self._monitor = socket.get_monitor_socket(_EVENTS)
        self._open: dict[int, _Connection] = {}
        self._checked = 0.0

    def delivered(self, fd: int, frames: Sequence[bytes]) -> None:
        """Count a message that came from a connection."""
        connection = self._open.get(fd)
        if connection is not None:
            sizes = [len(frame) + self._extra for frame in frames]
            connection.delivered += sum(size + (2 if size < 256 else 9) for size in sizes)
            connection.spoke = connection.fresh = True

    def check(self) -> None:
        """Read what has happened to the connections, and shut down those beyond the bounds.

        Cheap when called often.
        """
        now = time.monotonic()
        if now - self._checked < _CHECK_EVERY:
            return
        self._checked = now
        self._read_events(now)
        for fd, connection in list(self._open.items()):
            self._measure(connection, _received(fd))
            if connection.received - connection.delivered > self._most_bytes:
                self.shut(fd)
        self.drained = False
        for fd in self._too_many():
            self.shut(fd)

    def _measure(self, connection: _Connection, received: int) -> None:
        """Take a new count; greetings and heartbeats, which become no message, are left out where that is sure.

        It is when the engine has received all there was from a connection that is quiet, once after
        each message: a message without end cannot be counted as delivered again and again.
        """
        quiet = received == connection.received
        connection.received = received
        if quiet and self.drained and connection.fresh:
            connection.delivered = received
            connection.fresh = False

    def _too_many(self) -> list[int]:
        """Return the connections that have to go.

        First those that have sent nothing, the oldest first.
        """
        excess = len(self._open) - self._most
        if excess <= 0:
            return []
        by_merit = sorted(self._open, key=lambda fd: (self._open[fd].spoke, self._open[fd].since))
        return by_merit[:excess]

    def _read_events(self, now: float) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._open[int(event["value"])] = _Connection(now)
            else:
                self._open.pop(int(event["value"]), None)

    def shut(self, fd: int) -> None:
        """Shut a connection down.

        Libzmq then finds it ended and frees what it had received of it.
        """
        self._open.pop(fd, None)
        self.cut += 1
        _libc().shutdown(fd, system.SHUT_RDWR)  # fails where it ended by itself meanwhile

    def close(self) -> None:
        """Stop watching; comes before the socket is closed."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)  # left open it would hang the context's end


def _free_files() -> int:
    """Return how many file descriptors the process may still open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (1 << 20 if soft == resource.RLIM_INFINITY else soft) - len(os.listdir("/dev/fd"))


@cache
def _libc() -> ctypes.CDLL:
    """Return the C library: a socket object of Python's would own a descriptor of libzmq's.

    A signal that ends its use half-way would close the descriptor, and libzmq aborts the process
    where that happens. A copy of the descriptor is no way out: there may be none left, which is
    when connections have to go.
    """
    return ctypes.CDLL(None)


def _received(fd: int) -> int:
    """Return the bytes that the operating system has received on a connection.

    0 where it does not tell.
    """
    if _TCP_INFO is None:
        return 0
    info = ctypes.create_string_buffer(_RECEIVED_AT + _RECEIVED.size)
    size = ctypes.c_uint(len(info))
    failed = _libc().getsockopt(fd, system.IPPROTO_TCP, _TCP_INFO, info, ctypes.byref(size))
    return (
        0 if failed or size.value < len(info) else int(_RECEIVED.unpack_from(info, _RECEIVED_AT)[0])
    )
