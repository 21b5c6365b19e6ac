"""The sender's best-effort connection: each row is sent once."""

from __future__ import annotations

import math
import time

import zmq

from loco_stream.connectors.ls1._client_session import Batch
from loco_stream.connectors.ls1._idle_warning import IdleWarning
from loco_stream.connectors.ls1._messages import SchemaPayload, encode
from loco_stream.connectors.ls1._sockets import OpenSocket
from loco_stream.connectors.ls1._wire import Kind, pack
from loco_stream.errors import SourceTimeoutError

_SCHEMA_SECONDS = 1.0  # between two copies of the schema, for subscribers that come later


class PushLink:
    """Sends batches to a pull or sub socket.

    Parameters
    ----------
    connection
        The open socket.
    name
        Name of the sender.
    timeout
        Seconds that a message may wait until it is taken (push).
    """

    def __init__(self, connection: OpenSocket, name: str, timeout: float) -> None:
        self._connection = connection
        self._name = name
        self._timeout = timeout
        self._warning = IdleWarning(connection.address)
        self._schema_due = -math.inf
        self._schema: SchemaPayload | None = None

    def post(self, batch: Batch) -> None:
        """Send a batch, and its schema if it has changed or a second has passed.

        Raises
        ------
        SourceTimeoutError
            Nobody took it in time.
        """
        now = time.monotonic()
        if now >= self._schema_due or batch.schema is not self._schema:
            self._send(pack(self._name, Kind.SCHEMA, encode(batch.schema)))
            self._schema_due = now + _SCHEMA_SECONDS
            self._schema = batch.schema
        self._send(batch.frames(self._name))

    def _send(self, frames: list[bytes]) -> None:
        """Send frames; wait until they are taken (push)."""
        self._warning.reset()
        deadline = time.monotonic() + self._timeout
        while not self._try(frames, min(self._warning.due_in, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                raise SourceTimeoutError(
                    f"nobody at {self._connection.address} took a row within {self._timeout:g} s"
                )
            self._warning.check()

    def _try(self, frames: list[bytes], seconds: float) -> bool:
        milliseconds = -1 if math.isinf(seconds) else max(0, math.ceil(seconds * 1000))
        self._connection.socket.sndtimeo = milliseconds
        try:
            self._connection.socket.send_multipart(frames)
        except zmq.Again:
            return False
        return True

    def end(self, last: int, linger: float) -> None:
        """Send the end of stream, if somebody takes it within `linger` seconds."""
        self._try(pack(self._name, Kind.END, seq=last), linger)

    def close(self) -> None:
        """Do nothing: the socket is closed by its owner."""
