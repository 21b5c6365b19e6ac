"""Variables of an OPC UA server as a source."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from loco_stream._checks import checks_types
from loco_stream._text import did_you_mean, listed, reason_of
from loco_stream.connectors._base.async_client import AsyncClient
from loco_stream.connectors._base.broker_source import CONNECT_SECONDS, TICK, BrokerSource
from loco_stream.connectors._base.checks import check_positive
from loco_stream.connectors._base.connector import Connector, Extra
from loco_stream.connectors._base.fields import DEFAULT_FIELDS
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors._base.secrets import password
from loco_stream.connectors._base.values import plain_scalar
from loco_stream.connectors.ls1._messages import NamedMessage, NamedRow, to_row
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Position

_EXTRA = Extra("opcua", "asyncua>=1.1", "asyncua")
_RECONNECT_SECONDS = 1.0
_CALL_SECONDS = 30.0
_SETTLE_SECONDS = 0.02  # after the last value of a publication


class OPCUASource(BrokerSource):
    """Variables of an OPC UA server.

    The server reports changes of the variables. A row has the newest value of every variable; one
    row is made per publishing interval in which a variable changed. A value whose quality is not
    good is missing. Changes while the engine is away are lost.

    Parameters
    ----------
    host
        Host of the server.
    path
        Path of the endpoint; may be empty.
    port
        Port of the server.
    node
        Ids of the variables, such as ``ns=2;s=Press.Speed``, or of a folder whose variables are
        read. Features are named by the browse names.
    interval
        Publishing interval.
    username
        Login name. The password is read from the environment variable
        ``LOCO_STREAM_OPCUA_PASSWORD``, or from the file that ``LOCO_STREAM_OPCUA_PASSWORD_FILE``
        names.
    security
        Security of the connection as ``POLICY,MODE,CERTIFICATE,KEY``, for example
        ``Basic256Sha256,SignAndEncrypt,cert.der,key.pem``. By default none.
    options
        Fields and bounds as in any source of messages.

    Raises
    ------
    SourceError
        The server cannot be reached or has no such node, or the library is not installed.

    Examples
    --------
    >>> from loco_stream.connectors import OPCUASource
    >>> OPCUASource("127.0.0.1", "", port=1, node=["ns=2;s=Press"])
    Traceback (most recent call last):
    loco_stream.errors.SourceError: cannot reach the OPC UA server opc.tcp://127.0.0.1:1/: ...
    """

    guarantee = "at most once (changes while the engine is away are lost)"
    needs_log = True  # a change is not reported again

    @checks_types
    def __init__(
        self,
        host: str,
        path: str = "",
        *,
        port: int = 4840,
        node: Sequence[str] = (),
        interval: Seconds = 0.5,
        username: str | None = None,
        security: str | None = None,
        **options: Any,
    ) -> None:
        self._url = f"opc.tcp://{host}:{port}/{path}"
        super().__init__(f"opcua:{self._url.partition(':')[2]}", **options)
        check_positive(interval=interval)
        if not any(node):
            raise ConfigError("`node` must name a variable or a folder, got nothing")
        self._opcua = _EXTRA.load()
        self._nodes = list(node)
        self._interval = interval
        self._username = username
        self._security = security
        self._values: dict[str, Any] = {}
        self._changed = False
        self._is_resumed = False
        self._lock = threading.Lock()
        self._client: Any = None
        self._names: dict[Any, str] = {}
        self._failure = ""
        self._retry_at = 0.0
        self._changed_at = 0.0
        self._asyncio = AsyncClient("opcua")
        try:
            self._asyncio.run(self._connect(), CONNECT_SECONDS)
        except Exception as e:
            self._asyncio.close()
            if isinstance(e, SourceError):
                raise
            raise SourceError(
                f"cannot reach the OPC UA server {self._url}: {reason_of(e)}"
            ) from None

    async def _connect(self) -> None:
        client = self._opcua.Client(self._url, timeout=CONNECT_SECONDS)
        if self._username is not None:
            client.set_user(self._username)
            client.set_password(password("OPCUA") or "")
        if self._security is not None:
            await client.set_security_string(self._security)
        await client.connect()
        try:
            variables = await self._variables(client)
            self._names = {v.nodeid: name for name, v in variables.items()}
            period = 1000 * self._interval
            subscription = await client.create_subscription(period, self)
            await subscription.subscribe_data_change(list(variables.values()))
        except BaseException:
            await client.disconnect()
            raise
        self._client = client

    async def _variables(self, client: Any) -> dict[str, Any]:
        """Return the variables to read, by name; those in a folder if a node is one.

        Raises
        ------
        SourceError
            The server has no such node, or two variables have one name.
        """
        found: dict[str, Any] = {}
        for text in self._nodes:
            for variable in await self._variables_at(client, text):
                name = (await variable.read_browse_name()).Name
                if name in found:
                    raise SourceError(f"{self._url} has two variables named {name!r} in `node`")
                found[name] = variable
        if not found:
            raise SourceError(f"{self._url} has no variable in {', '.join(self._nodes)}")
        self._check_target(found)
        return found

    def _check_target(self, found: Mapping[str, Any]) -> None:
        for label in self._fields.labels if self._fields.target != DEFAULT_FIELDS.target else ():
            if label not in found:
                raise SourceError(
                    f"`target` must be a variable in `node`, got {label!r}"
                    f"{did_you_mean(label, found)} (variables: {listed(found)})"
                )

    async def _variables_at(self, client: Any, text: str) -> list[Any]:
        """Return the variable at a node, or those in a folder."""
        try:
            node = client.get_node(text)
            if await node.read_node_class() == self._opcua.ua.NodeClass.Variable:
                return [node]
            return list(await node.get_variables())
        except self._opcua.ua.UaStringParsingError:
            raise SourceError(
                f"`node` must be a node id such as ns=2;s=Press.Speed, got {text!r}"
            ) from None
        except (self._opcua.ua.UaError, ValueError) as e:
            raise SourceError(f"{self._url} has no node {text!r}: {e}") from None

    def seek(self, position: Position) -> None:
        """Continue the numbers of `position`, with the next change."""
        super().seek(position)
        self._is_resumed = any(source.last for source in self._sources.by_name.values())

    # Called by the library in its thread

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Take the new value of a variable; a value of bad quality is missing."""
        status = data.monitored_item.Value.StatusCode
        is_good = status is None or status.is_good()
        with self._lock:
            self._values[self._names[node.nodeid]] = plain_scalar(value) if is_good else None
            self._changed = True
            self._changed_at = time.time()

    def status_change_notification(self, status: Any) -> None:
        """Note that the server has ended the subscription."""
        self._failure = f"the server has ended the subscription: {status.Status.name}"

    # Called by the engine

    def _fetch(self) -> Sequence[Event | None]:
        time.sleep(min(TICK, self._interval / 4))
        if not self._is_connected():
            return []
        now = time.time()
        with self._lock:
            if not self._changed or not self._is_settled(now):
                return []
            values = dict(self._values)
            self._changed = False
            if self._is_resumed:  # a new subscription begins with values that may be known
                self._is_resumed = False
                return []
        return [self._receiver.take_row(self.name.encode(), lambda _: self._row(values, now))]

    def _is_settled(self, now: float) -> bool:
        """Whether every variable has a value, and the last publication has arrived as a whole."""
        is_complete = len(self._values) == len(self._names)
        return is_complete and now - self._changed_at >= min(_SETTLE_SECONDS, self._interval / 2)

    def _row(self, values: Mapping[str, Any], now: float) -> NamedMessage:
        row = to_row(values, None, self._limits, self._fields)
        if isinstance(row, NamedRow) and math.isnan(row.t):
            row.t = now
        return row

    def _is_connected(self) -> bool:
        """Whether the server answers; if not, connect again."""
        client = self._client
        if client is not None and not self._failure and client.uaclient.protocol is not None:
            transport = client.uaclient.protocol.transport
            if transport is not None and not transport.is_closing():
                self._note_back()
                return True
        if not self.outage:
            self._note_lost(self._failure or "the server does not answer")
        now = time.monotonic()
        if now < self._retry_at:
            return False
        self._retry_at = now + _RECONNECT_SECONDS
        self._failure = ""
        self._sources.stats["restarts"] += 1
        try:
            self._disconnect()
            self._asyncio.run(self._connect(), CONNECT_SECONDS)
        except Exception as e:  # of many kinds; the next round tries again
            self._client = None
            if isinstance(e, SourceError):  # the server is back, but lacks a variable
                self._note_lost(e)
            return False
        return True

    def _disconnect(self) -> None:
        client = self._client
        self._client = None
        if client is not None:
            with suppress(Exception):  # the server may be gone
                self._asyncio.run(client.disconnect(), _CALL_SECONDS)

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._disconnect()
        self._asyncio.close()


CONNECTORS = (
    Connector(
        "opcua",
        OPCUASource,
        {"opcua://127.0.0.1:4840/?node=NODE": OPCUASource.guarantee},
        extra=_EXTRA,
        needs_name=False,
    ),
)
