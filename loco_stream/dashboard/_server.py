"""Servers of uvicorn, each in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loco_stream._checks import MOST_STEPS, integer, require
from loco_stream._text import reason_of
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LOOPBACK = ("127.0.0.1", "localhost")
_START_SECONDS = 10.0  # a page that starts more slowly still comes up
_OPTIONS: dict[str, Any] = {
    "log_level": "error",
    "access_log": False,
    "lifespan": "off",
    "ws": "none",
    "http": "h11",
    "loop": "asyncio",
    "timeout_graceful_shutdown": 2,
    "server_header": False,
}


def missing_extra() -> ConfigError:
    """Return the error about libraries that are not installed."""
    return ConfigError(
        "the page and the HTTP API need starlette and uvicorn: pip install 'loco-stream[dashboard]'"
    )


def accepted_hosts(host: str, further: Sequence[str]) -> list[str]:
    """Return the Host headers that a page accepts.

    Raises `ConfigError` if the page listens on all addresses and no header is given.
    """
    if host == "0.0.0.0" and not further:
        raise ConfigError(
            "`allowed_hosts` must name a Host header, for example my-host.local, for a page at "
            "0.0.0.0",
            option="allowed_hosts",
        )
    return [*LOOPBACK, host, *further]


class ServerThread:
    """An application in a thread. The constructor waits until it answers, 10 s at most.

    Raises `ConfigError` as `listen` does, or if uvicorn is not installed.

    app: the application; `close` ends its server
    host, port: where it listens; port 0 selects a free one
    purpose, name: what it is for, in an error, and the name of the thread
    options: of `uvicorn.Config`, besides those of all servers

    Its attributes:
    url: address of the server
    """

    def __init__(
        self, app: ASGIApp, host: str, port: int, purpose: str, name: str, **options: Any
    ) -> None:
        try:
            import uvicorn
        except ImportError as error:
            raise missing_extra() from error
        self._server = uvicorn.Server(uvicorn.Config(app, **{**_OPTIONS, **options}))
        self._socket = listen(host, port, purpose)
        host, port = self._socket.getsockname()
        self.url = f"http://{LOOPBACK[0] if host == '0.0.0.0' else host}:{port}/"
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name=name, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)

    def close(self) -> None:
        """End the server and release its port."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def forecast_steps(horizon: str | None) -> int | None:
    """Return the number of steps in a request; None without one.

    Raises `ConfigError` if it is no integer from 1 to `MOST_STEPS`.
    """
    if horizon is None:
        return None
    is_number = horizon.isdecimal() and len(horizon) < 10
    number = int(horizon) if is_number else horizon
    steps: int = require("horizon", number, integer(1, MOST_STEPS))
    return steps


def listen(host: str, port: int, purpose: str) -> socket.socket:
    """Return a bound socket.

    Raises `ConfigError` if the port is in use, or this machine has no such address.

    host, port: address to listen on; port 0 selects a free one
    purpose: what the socket is for, in the error
    """
    # asyncio disables Nagle's algorithm only if the protocol is given; else replies wait 40 ms
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # a restarted engine gets its old port at once
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"cannot {purpose} at {host}:{port}: {reason_of(error)}; choose another port"
        ) from error
    return listener
