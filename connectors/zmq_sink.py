"""Records to whoever subscribes over ZeroMQ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zmq

from loco_stream.connectors.ls1.security import Guard
from loco_stream.connectors.ls1.sockets import open_plug
from loco_stream.connectors.outlet import Outlet, encode
from loco_stream.records import Record

__all__ = ["ZMQRecords"]


class ZMQRecords(Outlet):
    """Publishes each record as two frames, the kind and JSON; subscribe to the kinds you want.

    Parameters
    ----------
    address
        ``//HOST:PORT`` to bind.
    keys
        Folder made by `keygen`: turns CURVE on, and admits the keys in its ``allowed`` folder.
    options
        Those of `Outlet`.

    Raises
    ------
    SourceError
        The port is in use, or others reach it and there are no keys.

    Examples
    --------
    >>> from loco_stream.connectors import open_sink
    >>> sink = open_sink("zmq+pub://127.0.0.1:*?only=drift")
    >>> sink.close({})
    """

    guarantee = (
        "at most once: a subscriber that is late, slow or away misses records; seq tells which"
    )

    def __init__(self, address: str, keys: str | Path | None = None, **options: Any) -> None:
        super().__init__(f"zmq+pub:{address}", **options)
        self._plug = open_plug(
            zmq.PUB, address, bind=True, guard=None if keys is None else Guard(keys)
        )
        self.address = self._plug.address
        self.name = f"zmq+pub:{self.address.removeprefix('tcp:')}"

    def send(self, records: Sequence[Record]) -> None:
        """Publish; two plain calls, as `send_multipart` looks at what it is given before it sends."""
        send = self._plug.socket.send
        for record in records:
            body = encode(record)  # first: if it fails, no half of a message is under way
            send(record["kind"].encode(), zmq.SNDMORE)
            send(body)

    def close(self, report: Any) -> None:
        """Publish the report; what is queued gets a second to leave."""
        super().close(report)
        if self._thread is None or not self._thread.is_alive():
            self._plug.close(linger=1.0)
