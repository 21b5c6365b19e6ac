"""The HTTP door beside `serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from loco_stream.errors import ConfigError

__all__ = ["http_door"]


@contextmanager
def http_door(
    service: Any, place: str | None, token_file: str | None
) -> Iterator[Callable[[Any], Any]]:
    """Open the door if it is wanted, and give what puts its inbox beside a source."""
    if place is None:
        yield lambda source: source
        return
    from loco_stream.connectors.control import make_token
    from loco_stream.dashboard.http import HTTPDoor
    from loco_stream.engine.inbox import InboxSource

    host, _, port = place.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(
            f"--http takes PORT or ADDRESS:PORT with a port from 1 to 65535, not {place!r}"
        )
    token = None if token_file is None else make_token(token_file)
    door = HTTPDoor(service, int(port), host or "127.0.0.1", token)
    click.echo(f"http: {door.url}", err=True)
    try:
        yield lambda source: InboxSource(source, door.inbox)
    finally:
        door.close()
