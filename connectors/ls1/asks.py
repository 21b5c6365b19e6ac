"""Predict requests: held in a queue, answered in slices, so that no request keeps the learning rows waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import SchemaPayload
from loco_stream.errors import SourceError
from loco_stream.stream import PredictRequest

__all__ = ["AskQueue", "Request"]


@dataclass(slots=True)
class Request:
    """One request on its way through the engine.

    Who asked, under which schema, and the answer so far.
    """

    peer: bytes
    schema: SchemaPayload
    seq: int
    n_rows: int
    parts: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, columns: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Take the answer to the next slice; return the whole answer once it is complete."""
        self.parts.append(columns)
        if sum(map(len, self.parts)) < self.n_rows:
            return None
        whole = np.concatenate(self.parts)
        self.parts.clear()
        return whole


class AskQueue:
    """Requests that wait for the engine; the peers take turns.

    Parameters
    ----------
    limits
        Bounds one request's answer, the rows that wait for one peer, and the bytes that wait in
        all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[bytes, deque[PredictRequest]] = {}
        self._rows: dict[bytes, int] = {}
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def check(self, peer: bytes, n_rows: int, n_features: int, n_columns: int) -> None:
        """Refuse a request that would take more than the bounds allow.

        Raises
        ------
        SourceError
            Its answer, or what waits already, is too large.
        """
        limits = self._limits
        size = 4 * n_rows * n_columns
        if size > limits.reply_bytes:
            raise SourceError(
                f"the answer to {n_rows} rows would have {size} bytes; {limits.reply_bytes} (reply_bytes) are allowed"
            )
        waiting = self._rows.get(peer, 0)
        if waiting and waiting + n_rows > limits.waiting_rows:
            raise SourceError(
                f"{waiting} rows of earlier requests wait for an answer, and {limits.waiting_rows} (waiting_rows) may"
            )
        if self._bytes + 4 * n_rows * n_features > limits.waiting_total:
            raise SourceError(
                f"requests of {self._bytes} bytes wait for an answer, and no more are taken: ask later"
            )

    def put(self, peer: bytes, ask: PredictRequest) -> None:
        """Let a request wait for its turn."""
        self._waiting.setdefault(peer, deque()).append(ask)
        self._rows[peer] = self._rows.get(peer, 0) + len(ask.X)
        self._bytes += ask.X.nbytes

    def take(self, rows: int) -> Iterator[PredictRequest]:
        """Yield slices of at most `rows` rows together; each peer gets an equal share of them."""
        while self._waiting and rows > 0:
            share = max(1, rows // len(self._waiting))
            for peer in list(self._waiting):
                if rows <= 0:
                    return
                part = self._next(peer, min(share, rows))
                rows -= len(part.X)
                yield part

    def _next(self, peer: bytes, most: int) -> PredictRequest:
        """Cut the next slice off a peer's first request.

        A peer that is served goes to the end of the row.
        """
        queue = self._waiting.pop(peer)
        ask = queue.popleft()
        part = PredictRequest(ask.X[:most], ask.features, ask.seq, ask.source, ask.tag)
        if len(ask.X) > most:
            queue.appendleft(
                PredictRequest(ask.X[most:], ask.features, ask.seq, ask.source, ask.tag)
            )
        self._rows[peer] -= len(part.X)
        self._bytes -= part.X.nbytes
        if queue:
            self._waiting[peer] = queue
        else:
            del self._rows[peer]
        return part

    def drop(self, peer: bytes) -> None:
        """Forget what a peer asked: it is gone."""
        for ask in self._waiting.pop(peer, ()):
            self._bytes -= ask.X.nbytes
        self._rows.pop(peer, None)
