"""Queue of predict requests, which are answered in slices so that none delays learning."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from loco_stream._arrays import Float32
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._messages import SchemaPayload
from loco_stream.errors import SourceError
from loco_stream.stream import PredictRequest


@dataclass(slots=True)
class PendingReply:
    """The reply to a request, as far as it is known.

    Parameters
    ----------
    peer
        Routing id of the peer that waits for it.
    schema
        Its schema, which orders the classes.
    seq
        Number of the request or row.
    n_rows
        Number of rows in the request.
    parts
        Replies to the slices so far.
    """

    peer: bytes
    schema: SchemaPayload
    seq: int
    n_rows: int
    parts: list[Float32] = field(default_factory=list)

    def add(self, part: Float32) -> Float32 | None:
        """Add the reply to the next slice; return the whole reply once it is complete."""
        self.parts.append(part)
        if sum(map(len, self.parts)) < self.n_rows:
            return None
        whole = np.concatenate(self.parts)
        self.parts.clear()
        return whole


class RequestQueue:
    """Requests that wait for the engine; peers take turns.

    Parameters
    ----------
    limits
        `reply_bytes`, `waiting_rows` and `waiting_total`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: dict[bytes, deque[PredictRequest]] = {}
        self._n_rows: Counter[bytes] = Counter()
        self._n_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def check(self, peer: bytes, n_rows: int, n_features: int, n_columns: int) -> None:
        """Check a request and its reply of `n_columns` columns against the limits.

        Raises
        ------
        SourceError
            The reply would be too large, or too much waits already.
        """
        limits = self._limits
        size = 4 * n_rows * n_columns
        if size > limits.reply_bytes:
            raise SourceError(
                f"a reply must have at most {limits.reply_bytes} bytes (reply_bytes), "
                f"got {size} for {n_rows:,} rows"
            )
        waiting = self._n_rows[peer]
        if waiting and waiting + n_rows > limits.waiting_rows:
            raise SourceError(
                f"at most {limits.waiting_rows:,} rows may wait for a reply (waiting_rows), "
                f"got {n_rows} besides {waiting} of earlier requests"
            )
        if self._n_bytes + 4 * n_rows * n_features > limits.waiting_total:
            raise SourceError(
                f"requests of {self._n_bytes} bytes wait for a reply, and no more are accepted: "
                "try again later"
            )

    def put(self, peer: bytes, request: PredictRequest) -> None:
        """Add a request."""
        self._waiting.setdefault(peer, deque()).append(request)
        self._n_rows[peer] += len(request.X)
        self._n_bytes += request.X.nbytes

    def take(self, rows: int) -> Iterator[PredictRequest]:
        """Yield slices of requests with up to `rows` rows, an equal number for each peer."""
        while self._waiting and rows > 0:
            share = max(1, rows // len(self._waiting))
            for peer in list(self._waiting):
                if rows <= 0:
                    return
                part = self._next(peer, min(share, rows))
                rows -= len(part.X)
                yield part

    def _next(self, peer: bytes, max_rows: int) -> PredictRequest:
        """Return the next slice of a peer's oldest request, and move the peer to the end."""
        queue = self._waiting.pop(peer)
        request = queue.popleft()
        part = replace(request, X=request.X[:max_rows])
        if len(request.X) > max_rows:
            queue.appendleft(replace(request, X=request.X[max_rows:]))
        self._n_rows[peer] -= len(part.X)
        self._n_bytes -= part.X.nbytes
        if queue:
            self._waiting[peer] = queue
        else:
            del self._n_rows[peer]
        return part

    def drop(self, peer: bytes) -> None:
        """Drop the requests of a peer that is gone."""
        for request in self._waiting.pop(peer, ()):
            self._n_bytes -= request.X.nbytes
        self._n_rows.pop(peer, None)
