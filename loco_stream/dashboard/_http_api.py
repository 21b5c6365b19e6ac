"""The HTTP API of a service: predictions, and rows to learn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from loco_stream.connectors._base.fields import DEFAULT_FIELDS, FieldRoles
from loco_stream.connectors._line_protocol import LineReader
from loco_stream.dashboard._server import LOOPBACK, ServerThread, missing_extra
from loco_stream.dashboard._service import Service
from loco_stream.engine._inbox import Inbox
from loco_stream.errors import ConfigError, SourceError

_CONNECTIONS = 64  # further ones receive 503
_HEADER_SECONDS = 5.0  # that the head of a request may take


class HttpApi:
    """Serves ``POST /predict``, ``/learn``, ``/label`` and ``/write``, and ``GET /health``.

    ``/decision``, ``/forecast``, ``/ready`` and ``/openapi.json`` are served too. ``/write`` and
    ``/api/v2/write`` take rows in the line protocol of InfluxDB.

    A row to learn goes through the engine's inbox. It is validated, logged and learned as any other
    row, and the response is sent when it is durable. Predictions are computed beside the learner,
    by the model as it is at that moment.

    Raises `ConfigError` if Starlette or uvicorn is not installed, the port is in use, or an address
    that other machines reach has no token.

    service: what to predict with and report on
    port: port to listen on; 0 selects a free one, which `url` names
    host: address to listen on
    token: bearer token that requests must send; required if other machines reach the address
    allowed_hosts: further Host headers that are accepted. By default any at an address that other
        machines reach.
    fields: roles of the columns of rows in the line protocol
    """

    def __init__(
        self,
        service: Service,
        port: int,
        host: str = "127.0.0.1",
        token: str | None = None,
        *,
        allowed_hosts: Sequence[str] = (),
        fields: FieldRoles = DEFAULT_FIELDS,
    ) -> None:
        is_local = host in LOOPBACK
        if not is_local and token is None:
            raise ConfigError(
                f"`token` must be given for an HTTP API at {host}, which other machines reach",
                option="token",
            )
        try:
            from loco_stream.dashboard._http_routes import http_app
        except ImportError as error:
            raise missing_extra() from error
        self.inbox = Inbox("http")
        hosts = [*LOOPBACK, *allowed_hosts] if is_local or allowed_hosts else ["*"]
        self._server = ServerThread(
            http_app(service, self.inbox, token, hosts, _line_reader(fields)),
            host,
            port,
            "serve HTTP",
            "http",
            log_level="critical",
            http=_protocol(),
            limit_concurrency=_CONNECTIONS,
            h11_max_incomplete_event_size=16_384,
        )
        self.url = self._server.url

    def close(self) -> None:
        """End the server; responses in progress get two seconds."""
        self._server.close()


def _line_reader(fields: FieldRoles) -> LineReader | None:
    try:
        return LineReader(fields)
    except SourceError:  # its library is not installed
        return None


def _protocol() -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with a timeout for the head of a request, which uvicorn lacks."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class WithHeadTimeout(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._start()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._start()
            elif self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            super().connection_lost(exc)

        def _start(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(_HEADER_SECONDS, self._expire)

        def _expire(self) -> None:
            self._deadline = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

    return WithHeadTimeout
