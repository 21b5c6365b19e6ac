"""The HTTP API of `serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from loco_stream._cli._logging import LOGGER
from loco_stream._cli._service_state import ServiceState
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream._cli._network_options import NetworkOptions
    from loco_stream.connectors._base.fields import FieldRoles
    from loco_stream.stream import Source


def _fields(query: str) -> FieldRoles:
    """Return the roles of columns in the options of the address."""
    from loco_stream.connectors._base.fields import FieldRoles, check_target
    from loco_stream.connectors._base.options import convert, options_of, split_query

    options = options_of(FieldRoles, {"only_labels"})
    pairs = split_query(query)
    chosen = {name: convert("http", options, name, text or "") for name, text in pairs}
    check_target(chosen.get("target", ""))
    return FieldRoles(**chosen)


def _split(address: str) -> tuple[str, int, str]:
    """Return host, port and query of an address; the host is empty if it has none."""
    where, _, query = address.partition("?")
    host, _, port = where.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError(
            f"`--http` must be PORT or ADDRESS:PORT with a port from 1 to 65535, got {address!r}"
        )
    return host, int(port), query


def check_http(address: str, network: NetworkOptions) -> tuple[str, int]:
    """Return host and port of an address; open nothing.

    Raises `ConfigError` for the address, roles of columns or a missing token.
    """
    host, port, query = _split(address)
    _fields(query)
    bind = host or network.bind
    replace(network, bind=bind).check_token()
    return bind, port


@contextmanager
def http_api(
    service: ServiceState,
    address: str | None,
    network: NetworkOptions,
) -> Iterator[Callable[[Source], Source]]:
    """Serve the API while the block runs.

    service: what the API reads and predicts with
    address: ``PORT`` or ``HOST:PORT``; None serves nothing. ``?target=NAME&id=NAME`` and the like
        give roles to the columns of rows in the line protocol.
    network: address to listen on if `address` has none, accepted hosts and the token

    Yields a function that adds the rows of ``POST /learn`` to those of a source.
    """
    if address is None:
        yield lambda source: source
        return
    from loco_stream.dashboard._http_api import HttpApi
    from loco_stream.engine._inbox import InboxSource

    host, port, query = _split(address)
    bind = host or network.bind
    token = replace(network, bind=bind).read_token()
    api = HttpApi(
        service,
        port,
        bind,
        token,
        allowed_hosts=network.allow_host,
        fields=_fields(query),
    )
    LOGGER.info("http: %s", api.url)
    try:
        yield lambda source: InboxSource(source, api.inbox)
    finally:
        api.close()
