"""The HTTP door of a service: a server of its own for predictions and labelled rows."""

from __future__ import annotations

import asyncio
from typing import Any

from loco_stream.dashboard.server import Background, listen, local_hosts
from loco_stream.engine.inbox import Inbox
from loco_stream.errors import ConfigError

__all__ = ["HTTPDoor"]

_CONNECTIONS = 64  # further ones are answered with 503
_HEADER_SECONDS = 5.0  # that a request may take to say what it wants


class HTTPDoor:
    """Answers ``POST /predict`` and ``/learn``, ``GET /health``, ``/ready`` and ``/openapi.json``.

    A row to learn goes through the engine's inbox: it is admitted, logged and learned as any other,
    and answered when it is durable. Predictions are made beside the learner, by the model as it is
    at that moment.

    Parameters
    ----------
    service
        Has `engine`, None until there is one, `status` and `alarm`.
    port
        To listen at; 0 takes a free one, named in `url`.
    host
        Address to listen at.
    token
        What a request has to show; needed where other machines reach the address.

    Raises
    ------
    ConfigError
        Starlette or uvicorn is missing, the port is in use, or an address beyond this machine
        without a token.
    """

    def __init__(
        self, service: Any, port: int, host: str = "127.0.0.1", token: str | None = None
    ) -> None:
        local = host in local_hosts()
        if not local and token is None:
            raise ConfigError(
                f"an HTTP door at {host} is reached by other machines: give --http-token FILE"
            )
        try:
            import uvicorn

            from loco_stream.dashboard.door import make_door
        except ImportError as error:
            raise ConfigError(
                "--http needs starlette and uvicorn: pip install 'loco-stream[dashboard]'"
            ) from error
        self.inbox = Inbox("http")
        app = make_door(service, self.inbox, token, [*local_hosts()] if local else ["*"])
        config = uvicorn.Config(
            app,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            http=_patient(),
            loop="asyncio",
            timeout_graceful_shutdown=2,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            h11_max_incomplete_event_size=16_384,
        )
        self._socket = listen(host, port, "answer HTTP")
        self.url = (
            f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self._socket.getsockname()[1]}/"
        )
        self._background = Background(uvicorn.Server(config), self._socket, "http")

    def close(self) -> None:
        """End the server; answers under way get two seconds."""
        self._background.close()


def _patient() -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with a bound on how long a request's head may take, which uvicorn has not."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._wait()
            elif self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def connection_lost(self, exc: Exception | None) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(_HEADER_SECONDS, self._late)

        def _late(self) -> None:
            self._deadline = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

    return Patient
