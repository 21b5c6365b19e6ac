"""Replies on their way to the peers, and how many bytes of them each peer has not read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import zmq

from loco_stream.connectors.ls1._limits import Limits

_TRACKED_BYTES = 1 << 16  # the number of smaller replies is bounded by the socket's queue (SNDHWM)


class ReplyQueue:
    """Sends replies through a ROUTER socket without waiting.

    libzmq queues what a peer does not read and does not report its size. It reports when the memory
    of a large frame was handed to the operating system, so replies of more than 64 kB are counted
    until then.

    Parameters
    ----------
    socket
        The ROUTER socket.
    limits
        `unread_total`.
    on_gone
        Called with a peer whose connection is gone.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], limits: Limits, on_gone: Callable[[bytes], None]
    ) -> None:
        self._socket = socket
        self._limits = limits
        self._on_gone = on_gone
        self._queued: dict[bytes, deque[tuple[zmq.MessageTracker, int]]] = {}

    def unread(self, peer: bytes) -> int:
        """Return the bytes queued for a peer, or for all peers once those exceed their bound."""
        own = self._queued_bytes(peer)
        if not own:
            return 0
        total = sum(map(self._queued_bytes, list(self._queued)))
        return total if total > self._limits.unread_total else own

    def _queued_bytes(self, peer: bytes) -> int:
        queue = self._queued.get(peer)
        if queue is None:
            return 0
        while queue and queue[0][0].done:
            queue.popleft()
        if not queue:
            del self._queued[peer]
        return sum(size for _, size in queue)

    def send(self, peer: bytes, frames: list[bytes]) -> bool:
        """Send a reply; False if the peer is gone, or its queue is full."""
        try:
            if len(frames[-1]) < _TRACKED_BYTES:
                self._socket.send_multipart([peer, *frames], zmq.NOBLOCK)
            else:
                self._send_tracked(peer, frames)
        except zmq.ZMQError as e:
            if e.errno not in {zmq.EAGAIN, zmq.EHOSTUNREACH}:
                raise
            if e.errno == zmq.EHOSTUNREACH:
                self._on_gone(peer)
            return False
        return True

    def _send_tracked(self, peer: bytes, frames: list[bytes]) -> None:
        self._socket.send_multipart([peer, *frames[:-1]], zmq.NOBLOCK | zmq.SNDMORE)
        tracker = self._socket.send(frames[-1], zmq.NOBLOCK, copy=False, track=True)
        self._queued.setdefault(peer, deque()).append((tracker, len(frames[-1])))
