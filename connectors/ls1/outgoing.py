"""Answers on their way to the peers, and how much of them each peer has left unread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import zmq

from loco_stream.connectors.ls1.limits import Limits

__all__ = ["Outgoing"]

_TRACKED = (
    1 << 16
)  # bytes: smaller answers are bounded by the number that the socket queues (SNDHWM)


class Outgoing:
    """Sends answers through a ROUTER without waiting.

    libzmq queues what a peer does not read and tells nobody how much that is. It does say when it
    has handed the memory of a large frame to the operating system, so answers above 64 kB are
    counted until then.

    Parameters
    ----------
    socket
        The ROUTER.
    limits
        `unread_total` bounds what is queued for all peers together.
    lost
        Called with a peer whose connection is gone.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], limits: Limits, lost: Callable[[bytes], None]
    ) -> None:
        self._socket = socket
        self._limits = limits
        self._lost = lost
        self._queued: dict[bytes, deque[tuple[zmq.MessageTracker, int]]] = {}

    def unread(self, peer: bytes) -> int:
        """Return the bytes queued for a peer.

        All peers' bytes count once those are more than the bound.
        """
        own = self._settle(peer)
        total = sum(self._settle(other) for other in list(self._queued)) if self._queued else 0
        return max(own, total) if own and total > self._limits.unread_total else own

    def _settle(self, peer: bytes) -> int:
        queue = self._queued.get(peer)
        if queue is None:
            return 0
        while queue and queue[0][0].done:
            queue.popleft()
        if not queue:
            del self._queued[peer]
        return sum(size for _, size in queue)

    def send(self, peer: bytes, frames: list[bytes]) -> bool:
        """Send one answer; False if the peer is gone or reads too slowly to get it."""
        try:
            if len(frames[-1]) < _TRACKED:
                self._socket.send_multipart([peer, *frames], zmq.NOBLOCK)
            else:
                self._send_large(peer, frames)
        except zmq.ZMQError as e:
            if e.errno not in {zmq.EAGAIN, zmq.EHOSTUNREACH}:
                raise
            if e.errno == zmq.EHOSTUNREACH:
                self._lost(peer)
            return False
        return True

    def _send_large(self, peer: bytes, frames: list[bytes]) -> None:
        self._socket.send_multipart([peer, *frames[:-1]], zmq.NOBLOCK | zmq.SNDMORE)
        tracker = self._socket.send(frames[-1], zmq.NOBLOCK, copy=False, track=True)
        self._queued.setdefault(peer, deque()).append((tracker, len(frames[-1])))
