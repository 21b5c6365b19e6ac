"""The sender's best-effort connection: rows leave once, in the order they came."""

from __future__ import annotations

import math
import time

import zmq

from loco_stream.connectors.ls1.client_session import Batch
from loco_stream.connectors.ls1.messages import SchemaPayload, encode
from loco_stream.connectors.ls1.patience import Patience
from loco_stream.connectors.ls1.sockets import Plug
from loco_stream.connectors.ls1.wire import Kind, pack
from loco_stream.errors import SourceError

__all__ = ["PushLink"]

_SCHEMA_EVERY = 1.0  # seconds: a late subscriber waits at most so long


class PushLink:
    """Sends batches to a pull or a sub socket.

    Parameters
    ----------
    plug
        The open socket.
    name
        The source's.
    timeout
        Seconds that a message may wait for somebody to take it (push).
    """

    def __init__(self, plug: Plug, name: str, timeout: float) -> None:
        self._plug = plug
        self._name = name
        self._timeout = timeout
        self._patience = Patience(plug.address)
        self._schema_due = -math.inf
        self._schema: SchemaPayload | None = None

    def post(self, batch: Batch) -> None:
        """Send a batch, and its schema where it changed or a late subscriber may not know it.

        Raises
        ------
        SourceError
            Nobody took it in time.
        """
        now = time.monotonic()
        if now >= self._schema_due or batch.schema is not self._schema:
            self._deliver(pack(self._name, Kind.SCHEMA, encode(batch.schema)))
            self._schema_due = now + _SCHEMA_EVERY
            self._schema = batch.schema
        self._deliver(batch.frames(self._name))

    def _deliver(self, frames: list[bytes]) -> None:
        """Hand frames to the socket; waits while nobody takes them (push)."""
        self._patience.renew()
        deadline = time.monotonic() + self._timeout
        while not self._try(frames, min(self._patience.left, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                raise SourceError(
                    f"nobody at {self._plug.address} took a row within {self._timeout:g} s"
                )
            self._patience.check()

    def _try(self, frames: list[bytes], seconds: float) -> bool:
        self._plug.socket.sndtimeo = (
            -1 if math.isinf(seconds) else max(0, math.ceil(seconds * 1000))
        )
        try:
            self._plug.socket.send_multipart(frames)
        except zmq.Again:
            return False
        return True

    def end(self, last: int, linger: float) -> None:
        """Say end of stream; where nobody listens, nobody waits for it either."""
        self._try(pack(self._name, Kind.END, seq=last), linger)

    def close(self) -> None:
        """Nothing is open but the socket."""
