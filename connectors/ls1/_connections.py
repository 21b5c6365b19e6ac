"""Bounds on the connections of a listening socket, and on bytes that become no message.

libzmq bounds the size of a frame (MAXMSGSIZE) and the number of complete messages that wait
(RCVHWM). It bounds neither a message without end, nor the bytes that wait, nor the connections. The
operating system counts the bytes that a connection has received, so a connection that exceeds its
share can be shut down from outside. On systems other than Linux, and over ``ipc://``, only the
bounds of libzmq hold.
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

from loco_stream.connectors.ls1._limits import Limits

_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_TCP_INFO = getattr(system, "TCP_INFO", None)
_RECEIVED = struct.Struct("<Q")
_RECEIVED_AT = 128  # tcpi_bytes_received in struct tcp_info, Linux >= 4.1
_CHECK_SECONDS = 0.02  # a connection on the same machine sends a gigabyte per second
_RESERVED_FILES = 16  # file descriptors for the log and the checkpoints
_CURVE_BYTES = 33  # added to a frame: command name, nonce, authenticator, flags


@dataclass(slots=True)
class _Connection:
    """An accepted connection.

    Parameters
    ----------
    since
        Time of its acceptance.
    has_sent
        Whether a message has come.
    is_fresh
        Whether a message has come since `n_delivered` was corrected.
    n_received
        Bytes that the operating system has received.
    n_delivered
        Bytes on the wire of the messages that the engine has received.
    """

    since: float
    has_sent: bool = False
    is_fresh: bool = False
    n_received: int = 0
    n_delivered: int = 0


class ConnectionLimiter:
    """Watches the connections of a listening socket, and shuts down those beyond the bounds.

    Parameters
    ----------
    socket
        The listening socket.
    limits
        `connections`, and `frame_bytes`: a connection may have twice as many bytes in flight.
    backlog
        Bytes of complete messages that may wait in a connection besides.
    curve
        Whether frames are encrypted, which makes them longer.

    Attributes
    ----------
    n_cut
        Number of connections that were shut down.
    n_ended
        Number of those that ended otherwise: the peer has left, or libzmq has closed it, as it
        does without a word after the header of a frame beyond `frame_bytes`.
    is_drained
        Whether the engine has received everything since the last check.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], limits: Limits, backlog: int, curve: bool
    ) -> None:
        self.n_cut = 0
        self.n_ended = 0
        self.is_drained = False
        self._max_bytes = 2 * limits.frame_bytes + backlog
        self._max_connections = max(8, min(limits.connections, _free_files() - _RESERVED_FILES))
        self._extra_bytes = _CURVE_BYTES if curve else 0
        self._socket = socket
        self._monitor = socket.get_monitor_socket(_EVENTS)
        self._open: dict[int, _Connection] = {}  # by file descriptor
        self._checked_at = 0.0

    def count(self, fd: int, frames: Sequence[bytes]) -> None:
        """Count a message that came from a connection."""
        connection = self._open.get(fd)
        if connection is not None:
            sizes = [len(frame) + self._extra_bytes for frame in frames]
            connection.n_delivered += sum(size + (2 if size < 256 else 9) for size in sizes)
            connection.has_sent = True
            connection.is_fresh = True

    def check(self) -> None:
        """Shut down the connections beyond the bounds; cheap if called often."""
        now = time.monotonic()
        if now - self._checked_at < _CHECK_SECONDS:
            return
        self._checked_at = now
        self._read_events(now)
        for fd, connection in list(self._open.items()):
            self._measure(connection, _received(fd))
            if connection.n_received - connection.n_delivered > self._max_bytes:
                self.shut(fd)
        self.is_drained = False
        for fd in self._excess():
            self.shut(fd)

    def _measure(self, connection: _Connection, n_received: int) -> None:
        """Update the bytes received; handshakes and heartbeats are left out where that is certain.

        That is when the connection is quiet and the engine has received everything, once after each
        message: a message without end can then not be counted as delivered again and again.
        """
        is_quiet = n_received == connection.n_received
        connection.n_received = n_received
        if is_quiet and self.is_drained and connection.is_fresh:
            connection.n_delivered = n_received
            connection.is_fresh = False

    def _excess(self) -> list[int]:
        """Return the connections to close: those that have sent nothing first, then the oldest."""
        n_excess = len(self._open) - self._max_connections
        if n_excess <= 0:
            return []
        ranked = sorted(self._open, key=lambda fd: (self._open[fd].has_sent, self._open[fd].since))
        return ranked[:n_excess]

    def _read_events(self, now: float) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._open[int(event["value"])] = _Connection(now)
            elif self._open.pop(int(event["value"]), None) is not None:
                self.n_ended += 1

    def shut(self, fd: int) -> None:
        """Shut a connection down; libzmq then frees what it has received of it."""
        self._open.pop(fd, None)
        self.n_cut += 1
        _libc().shutdown(fd, system.SHUT_RDWR)  # fails if it has ended meanwhile

    def close(self) -> None:
        """Stop watching; call it before the socket is closed."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)  # left open it would block the end of the context


def _free_files() -> int:
    """Return how many file descriptors the process may still open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 1 << 20 if soft == resource.RLIM_INFINITY else soft
    return limit - len(os.listdir("/dev/fd"))


@cache
def _libc() -> ctypes.CDLL:
    """Return the C library, to call socket functions on descriptors that libzmq owns.

    A socket object of Python would own the descriptor as well. If a signal ended its use half-way,
    it would close the descriptor, and libzmq would abort the process. A copy of the descriptor does
    not help: there may be none left, which is when connections have to be closed.
    """
    return ctypes.CDLL(None)


def _received(fd: int) -> int:
    """Return the bytes that the operating system has received; 0 if it does not report them."""
    if _TCP_INFO is None:
        return 0
    info = ctypes.create_string_buffer(_RECEIVED_AT + _RECEIVED.size)
    size = ctypes.c_uint(len(info))
    failed = _libc().getsockopt(fd, system.IPPROTO_TCP, _TCP_INFO, info, ctypes.byref(size))
    if failed or size.value < len(info):
        return 0
    return int(_RECEIVED.unpack_from(info, _RECEIVED_AT)[0])
