"""Records into a Redis stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loco_stream.connectors.outlet import Outlet, encode
from loco_stream.connectors.values import host_port, need
from loco_stream.records import Record

__all__ = ["RedisRecords"]


class RedisRecords(Outlet):
    """Adds each record to a stream, with the fields `kind`, `source`, `seq` and `record` (JSON).

    Needs ``loco-stream[redis]``.

    Parameters
    ----------
    where
        ``//HOST:PORT/STREAM``.
    maxlen
        About so many entries are kept, the oldest leave; None keeps all.
    user, secret
        Of the server's access list.
    tls, ca
        Encrypt, and check the certificate against the system's authorities or those in the file
        `ca`.
    timeout
        Seconds for the connection and for each answer.
    options
        Those of `Outlet`.

    Raises
    ------
    SourceError
        The library redis is missing.
    """

    def __init__(
        self,
        where: str,
        *,
        maxlen: int | None = None,
        user: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        ca: str | None = None,
        timeout: float = 5.0,
        **options: Any,
    ) -> None:
        host, port, self._stream = host_port(where, 6379, "redis://HOST:PORT/STREAM")
        super().__init__(f"redis://{host}:{port}/{self._stream}", **options)
        redis = need("redis", "redis", "redis")
        self.errors = (OSError, redis.RedisError)
        self._maxlen = maxlen
        guard = {"ssl": True, "ssl_ca_certs": ca} if tls else {}
        self._client = redis.Redis(
            host,
            port,
            username=user,
            password=secret,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            **guard,
        )

    def send(self, records: Sequence[Record]) -> None:
        """Add entries, all in one transaction."""
        with self._client.pipeline() as pipeline:
            for record in records:
                fields = {name: record[name] for name in ("kind", "source", "seq")} | {
                    "record": encode(record)
                }
                pipeline.xadd(self._stream, fields, maxlen=self._maxlen)
            pipeline.execute()

    def disconnect(self) -> None:
        """Close the connection; the next record opens one."""
        self._client.connection_pool.disconnect()
