"""Records to subscribers over ZeroMQ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zmq

from loco_stream._checks import checks_types
from loco_stream.connectors._base.buffered_sink import BufferedSink, encode
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors.ls1._security import ServerKeys
from loco_stream.connectors.ls1._sockets import open_socket
from loco_stream.stream import Record


class ZMQSink(BufferedSink):
    """Publishes each record as two frames, kind and JSON.

    Receivers subscribe to kinds.

    Parameters
    ----------
    address
        ``//HOST:PORT`` to bind.
    keys
        Folder made by `keygen`; turns CURVE encryption and the allow-list on.
    options
        Those of `BufferedSink`.

    Raises
    ------
    SourceError
        The port is in use, or other machines could reach it without `keys`.

    Examples
    --------
    >>> from loco_stream.connectors import open_sink
    >>> sink = open_sink("zmq+pub://127.0.0.1:*?only=drift")
    >>> sink.close({})
    """

    guarantee = "at most once (late or slow subscribers miss records; gaps in seq show it)"

    @checks_types
    def __init__(self, address: str, *, keys: str | Path | None = None, **options: Any) -> None:
        super().__init__(f"zmq+pub:{address}", **options)
        server_keys = None if keys is None else ServerKeys(keys)
        self._socket = open_socket(zmq.PUB, address, bind=True, keys=server_keys)
        self.address = self._socket.address
        self.name = f"zmq+pub:{self.address.removeprefix('tcp:')}"

    def send(self, records: Sequence[Record]) -> None:
        """Publish records."""
        send = self._socket.socket.send  # faster than `send_multipart`
        for record in records:
            body = encode(record)  # before the first frame is sent, as it may fail
            send(record["kind"].encode(), zmq.SNDMORE)
            send(body)

    def close(self, report: Mapping[str, Any]) -> None:
        """Publish the report; queued records get a second to be sent."""
        super().close(report)
        if self._thread is None or not self._thread.is_alive():
            self._socket.close(linger=1.0)


CONNECTORS = (
    Connector(
        "zmq+pub",
        ZMQSink,
        {"zmq+pub://127.0.0.1:5557": ZMQSink.guarantee},
        hidden=frozenset({"batch"}),
    ),
)
