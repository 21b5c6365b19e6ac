"""The HTTP API of `serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from loco_stream.cli._logging import LOGGER
from loco_stream.cli._service_state import ServiceState
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.stream import Source

__all__ = ["http_api"]


@contextmanager
def http_api(
    service: ServiceState, address: str | None, token_file: str | None
) -> Iterator[Callable[[Source], Source]]:
    """Serve the API while the block runs.

    Parameters
    ----------
    service
        What the API reads and predicts with.
    address
        ``PORT`` or ``HOST:PORT``; None serves nothing.
    token_file
        File with the bearer token, created if absent; None needs no token.

    Yields
    ------
    Callable
        Adds the rows of ``POST /learn`` to those of a source.
    """
    if address is None:
        if token_file is not None:
            raise ConfigError("`--http-token` needs --http")
        yield lambda source: source
        return
    from loco_stream.connectors.control import make_token
    from loco_stream.dashboard.http_api import HttpApi
    from loco_stream.engine.inbox import InboxSource

    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(
            f"`--http` must be PORT or ADDRESS:PORT with a port from 1 to 65535, got {address!r}"
        )
    token = None if token_file is None else make_token(token_file)
    api = HttpApi(service, int(port), host or "127.0.0.1", token)
    service.inbox = api.inbox
    LOGGER.info("http: %s", api.url)
    try:
        yield lambda source: InboxSource(source, api.inbox)
    finally:
        api.close()
