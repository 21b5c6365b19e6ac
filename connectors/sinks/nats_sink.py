"""Records into a NATS JetStream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loco_stream._checks import checks_types
from loco_stream.connectors._base.async_client import AsyncClient
from loco_stream.connectors._base.buffered_sink import BufferedSink, encode
from loco_stream.connectors._base.checks import check_positive
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.extras import NATS
from loco_stream.connectors._base.options import Seconds
from loco_stream.stream import Record


class NATSSink(BufferedSink):
    """Publishes each record as JSON to ``SUBJECT.KIND`` of a NATS JetStream.

    A stream with the subject ``SUBJECT.>`` has to exist. Each message has an id, so that the server
    drops repeats within the duplicate window of the stream, by default two minutes.

    Parameters
    ----------
    host
        Host of the server.
    subject
        First part of the subjects.
    port
        Port of the server.
    user, secret
        Login at the server.
    tls
        Encrypt the connection, and verify the server's certificate.
    timeout
        Time for the connection, and for the acknowledgements of a batch.
    options
        Those of `BufferedSink`.

    Raises
    ------
    SourceError
        The library is not installed.

    Examples
    --------
    It connects with the first record.

    >>> from loco_stream.connectors import NATSSink
    >>> sink = NATSSink("127.0.0.1", "answers", only="drift")
    >>> sink.name
    'nats://127.0.0.1:4222/answers'
    """

    guarantee = "at least once (the stream drops repeats within its duplicate window)"

    @checks_types
    def __init__(
        self,
        host: str,
        subject: str,
        *,
        port: int = 4222,
        user: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        timeout: Seconds = 5.0,
        **options: Any,
    ) -> None:
        check_positive(timeout=timeout)
        super().__init__(f"nats://{host}:{port}/{subject}", **options)
        self._nats = NATS.load()
        self.errors = (OSError, TimeoutError, self._nats.errors.Error)
        self._url = f"{'tls' if tls else 'nats'}://{host}:{port}"
        self._login = {} if user is None else {"user": user, "password": secret}
        self._subject = subject
        self._timeout = timeout
        self._asyncio: AsyncClient | None = None
        self._client: Any = None

    def send(self, records: Sequence[Record]) -> None:
        """Publish records, and wait for the acknowledgements."""
        if self._asyncio is None:
            self._asyncio = AsyncClient("nats sink")
        self._asyncio.run(self._send(records), self._timeout)

    async def _send(self, records: Sequence[Record]) -> None:
        if self._client is None:
            self._client = self._nats.NATS()  # known to `disconnect`, whatever happens
            await self._client.connect(
                self._url,
                allow_reconnect=False,
                connect_timeout=self._timeout,
                error_cb=_ignore,
                **self._login,
            )
        stream = self._client.jetstream(timeout=self._timeout)
        for record in records:
            await stream.publish(
                f"{self._subject}.{record['kind']}",
                encode(record),
                headers={"Nats-Msg-Id": _id_of(record)},
            )

    def disconnect(self) -> None:
        """Close the connection; the next record opens one."""
        client = self._client
        self._client = None
        if self._asyncio is None:
            return
        try:
            if client is not None:
                self._asyncio.run(client.close(), self._timeout)
        except self.errors:
            pass  # the server is away
        self._asyncio.close()
        self._asyncio = None


def _id_of(record: Record) -> str:
    """Return what names a record: a prediction is emitted again with its label."""
    parts = ("kind", "source", "epoch", "seq", "detector", "at")
    named = [str(record.get(part, "")) for part in parts]
    return "/".join([*named, "labelled" if "label" in record else ""])


async def _ignore(error: Exception) -> None:
    """Leave it to `send`, which reports it."""


CONNECTORS = (
    Connector(
        "nats",
        NATSSink,
        {"nats://HOST:PORT/SUBJECT": NATSSink.guarantee},
        extra=NATS,
        secret="LOCO_STREAM_NATS_PASSWORD",
    ),
)
