"""Records into a Redis stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loco_stream._checks import checks_types
from loco_stream.connectors._base.buffered_sink import AT_LEAST_ONCE, BufferedSink, encode
from loco_stream.connectors._base.checks import check_positive
from loco_stream.connectors._base.connector import Connector, with_tls
from loco_stream.connectors._base.extras import REDIS
from loco_stream.connectors._base.options import Seconds
from loco_stream.stream import Record


class RedisSink(BufferedSink):
    """Adds each record to a Redis stream.

    Entries have the fields `kind`, `source`, `seq` and `record` (JSON).

    Parameters
    ----------
    host
        Host of the server.
    stream
        Key of the stream.
    port
        Port of the server.
    maxlen
        Approximate number of entries kept; the oldest are removed. By default all are kept.
    user, secret
        Login at the server.
    tls
        Encrypt the connection, and verify the server's certificate.
    ca
        As in `HTTPSink`.
    timeout
        Time for the connection, and for each answer.
    options
        Those of `BufferedSink`.

    Raises
    ------
    SourceError
        The library is not installed.

    Examples
    --------
    It connects with the first record.

    >>> from loco_stream.connectors import RedisSink
    >>> sink = RedisSink("127.0.0.1", "records", maxlen=100_000)
    >>> sink.name
    'redis://127.0.0.1:6379/records'
    """

    @checks_types
    def __init__(
        self,
        host: str,
        stream: str,
        *,
        port: int = 6379,
        maxlen: int | None = None,
        user: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        ca: str | None = None,
        timeout: Seconds = 5.0,
        **options: Any,
    ) -> None:
        check_positive(timeout=timeout)
        super().__init__(f"redis://{host}:{port}/{stream}", **options)
        redis = REDIS.load()
        self.errors = (OSError, redis.RedisError)
        self._stream = stream
        self._maxlen = maxlen
        encryption = {"ssl": True, "ssl_ca_certs": ca} if tls else {}
        self._client = redis.Redis(
            host,
            port,
            username=user,
            password=secret,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            **encryption,
        )

    def send(self, records: Sequence[Record]) -> None:
        """Add entries in one transaction."""
        with self._client.pipeline() as pipeline:
            for record in records:
                fields = {name: record[name] for name in ("kind", "source", "seq")}
                fields["record"] = encode(record)
                pipeline.xadd(self._stream, fields, maxlen=self._maxlen)
            pipeline.execute()

    def disconnect(self) -> None:
        """Close the connection; the next record opens one."""
        self._client.connection_pool.disconnect()


CONNECTORS = with_tls(
    Connector(
        "redis",
        RedisSink,
        {"redis://HOST:PORT/STREAM": AT_LEAST_ONCE},
        extra=REDIS,
        secret="LOCO_STREAM_REDIS_PASSWORD",
    )
)
