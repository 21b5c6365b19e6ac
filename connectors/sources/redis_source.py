"""Streams of Redis or Valkey as a source."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from loco_stream.connectors._base.broker_source import (
    BATCH,
    CONNECT_SECONDS,
    TICK,
    BrokerSource,
)
from loco_stream.connectors._base.connector import Connector, Form
from loco_stream.connectors._base.extras import REDIS
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors._base.secrets import password
from loco_stream.connectors._base.values import parse_cell
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import NamedRow, to_row
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Position

__all__ = ["CONNECTORS", "RedisSource"]

_TRIM_CHECK_SECONDS = 1.0
_BEGINNING = "0-0"
_ALONE = "exactly once (resumes from the entry id)"
_GROUP = "exactly once (entries are acknowledged when learned and durable)"


class RedisSource(BrokerSource):
    """Entries of a Redis stream.

    An entry is a row by fields, ``XADD rows * speed 0.4 load 1.2 y ok``, or has one field with a
    row as JSON or MessagePack map, or with an LS1 header and payload. The source name of the rows
    is the key of the stream.

    Without a group, the stream is read from its beginning or from the checkpoint on; entries that
    were trimmed before they were read are counted as gaps. With a group, entries are shared among
    its consumers, and those that were not acknowledged are delivered again.

    Parameters
    ----------
    host
        Host of the server.
    stream
        Key of the stream.
    port
        Port of the server.
    field
        Field of an entry that holds a whole row.
    target
        Field of the label.
    time
        Field of the event time, in seconds since 1970.
    group
        Consumer group to read in; it is created at the beginning of the stream if it does not
        exist.
    consumer
        Name of this consumer in the group. Two engines need two names.
    username
        Login name. The password is read from the environment variable
        ``LOCO_STREAM_REDIS_PASSWORD``, or from the file that ``LOCO_STREAM_REDIS_PASSWORD_FILE``
        names.
    tls
        Encrypt the connection, and verify the server's certificate.
    task, idle, max, endless, limits
        As in `MQTTSource`.

    Raises
    ------
    SourceError
        The server cannot be reached or refuses the client, the key is not a stream, or the library
        is not installed.

    Examples
    --------
    >>> from loco_stream.connectors import RedisSource
    >>> RedisSource("127.0.0.1", "rows", port=1)
    Traceback (most recent call last):
    loco_stream.errors.SourceError: cannot reach the Redis server 127.0.0.1:1: Connection refused
    """

    def __init__(
        self,
        host: str,
        stream: str,
        *,
        port: int = 6379,
        field: str = "data",
        target: str = "y",
        time: str = "t",
        group: str | None = None,
        consumer: str = "loco-stream",
        username: str | None = None,
        tls: bool = False,
        task: str | None = None,
        idle: Seconds | None = None,
        max: int | None = None,  # noqa: A002 - the name of the URL option
        endless: bool = False,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(
            f"redis://{host}:{port}/{stream}",
            task=task,
            target=target,
            time_key=time,
            idle=idle,
            max=max,
            endless=endless,
            limits=limits,
        )
        for name, value in (("group", group), ("consumer", consumer)):
            if value == "":
                raise ConfigError(f"`{name}` must not be empty")
        self._redis = REDIS.load()
        self._stream = stream
        self._field = field.encode()
        self._group = group
        self._consumer = consumer
        self.needs_log = group is not None  # an acknowledged entry is not delivered again
        self.guarantee = _ALONE if group is None else _GROUP
        self._id = _BEGINNING  # of the last entry read
        self._known = _BEGINNING  # entries up to this one were learned before
        self._reads_pending = group is not None  # entries not acknowledged yet are read first
        self._pending_id = _BEGINNING  # the last one of these that was read
        self._n_read = 0  # entries before the next one, as the server counts
        self._unacked: list[bytes] = []
        self._checked_at = -math.inf
        self._where = f"{host}:{port}"
        self._client = self._redis.Redis(
            host=host,
            port=port,
            username=username,
            password=password("REDIS"),
            ssl=tls,
            socket_timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=None,
            protocol=2,
        )
        self._check_stream()

    def _check_stream(self) -> None:
        try:
            kind = self._client.type(self._stream)
            if self._group is not None and kind in (b"none", b"stream"):
                self._create_group()
        except self._redis.AuthenticationError as e:
            raise SourceError(f"the Redis server {self._where} refuses the client: {e}") from None
        except self._redis.ConnectionError as e:
            cause = e.__cause__ or e.__context__
            reason = getattr(cause, "strerror", None) or e
            raise SourceError(f"cannot reach the Redis server {self._where}: {reason}") from None
        except self._redis.RedisError as e:
            raise SourceError(f"the Redis server {self._where} refuses the client: {e}") from None
        if kind not in (b"none", b"stream"):
            raise SourceError(
                f"{self._stream} at {self._where} must be a stream, got a {kind.decode()}"
            )

    def _create_group(self) -> None:
        try:
            self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except self._redis.ResponseError as e:
            if "BUSYGROUP" not in str(e):  # it exists already
                raise

    @property
    def position(self) -> Position:
        """``{"id": ..., "read": n, "rows": ...}``: last entry, number of entries, their rows."""
        return {"id": self._id, "read": self._n_read, "rows": self._sources.position}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Continue after the entry in `position`."""
        self._seek_rows(position, "id")
        self._id = str(position["id"])
        self._known = self._id
        self._n_read = int(position.get("read", 0))
        self._reads_pending = self._group is not None
        self._pending_id = _BEGINNING
        self._unacked.clear()

    def ack(self, position: Mapping[str, Any]) -> None:
        """Acknowledge the entries up to `position` to the group."""
        if self._group is None:
            return
        reached = _parse_id(str(position["id"]))
        ids = [entry for entry in self._unacked if _parse_id(entry.decode()) <= reached]
        try:
            if ids:
                self._client.xack(self._stream, self._group, *ids)
        except self._redis.RedisError:
            return  # acknowledged with a later one, or recognised when it is delivered again
        self._unacked = self._unacked[len(ids) :]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _fetch(self) -> Sequence[Event | None]:
        try:
            self._count_trimmed()
            entries = self._entries()
        except (self._redis.ConnectionError, self._redis.TimeoutError):
            time.sleep(TICK)  # the client connects again with the next command
            # The answer to a read may be lost: in a group, its entries are pending now.
            self._reads_pending = self._group is not None
            self._pending_id = self._id
            return []
        except self._redis.RedisError as e:
            if str(e).startswith("NOGROUP"):  # the server has lost its data
                self._create_group()
                return []
            raise SourceError(f"the Redis server {self._where} refuses: {e}") from None
        return [self._entry(number, fields) for number, fields in entries]

    def _entries(self) -> list[tuple[bytes, Mapping[bytes, bytes] | None]]:
        wait = round(1000 * TICK)
        if self._group is None:
            found = self._client.xread({self._stream: self._id}, count=BATCH, block=wait)
            return found[0][1] if found else []
        start = self._pending_id if self._reads_pending else ">"
        found = self._client.xreadgroup(
            self._group, self._consumer, {self._stream: start}, count=BATCH, block=wait
        )
        entries: list[tuple[bytes, Mapping[bytes, bytes] | None]] = found[0][1] if found else []
        if self._reads_pending and not entries:
            self._reads_pending = False
        if self._reads_pending:
            self._pending_id = entries[-1][0].decode()
        self._unacked += [entry for entry, _ in entries]
        return entries

    def _entry(self, number: bytes, fields: Mapping[bytes, bytes] | None) -> Event | None:
        entry = number.decode()
        if _parse_id(entry) <= _parse_id(self._known):  # learned, but not acknowledged in time
            return None
        self._id = entry
        self._n_read += 1
        t = _parse_id(entry)[0] / 1000  # an id starts with the server's time in milliseconds
        if not fields:  # deleted while it was pending
            return None
        body = fields.get(self._field)
        if body is None:
            return self._receiver.take_row(
                self._stream.encode(), lambda features: self._row(fields, features, t)
            )
        label = fields.get(self._target.encode())
        y = None if label is None else parse_cell(label.decode("utf-8", "replace"))
        return self._read_message(self._stream, body, y, t)

    def _row(
        self, fields: Mapping[bytes, bytes], features: tuple[str, ...] | None, t: float
    ) -> NamedRow:
        try:
            values = {name.decode(): parse_cell(value.decode()) for name, value in fields.items()}
        except UnicodeDecodeError as e:
            raise SourceError(f"fields must be UTF-8: {e}") from None
        row = to_row(values, features, self._limits, self._target, self._time_key)
        row.t = t if math.isnan(row.t) else row.t
        return row

    def _count_trimmed(self) -> None:
        """Count the entries that were trimmed before they were read."""
        due = time.monotonic() - self._checked_at >= _TRIM_CHECK_SECONDS
        if self._group is not None or not due:
            return
        self._checked_at = time.monotonic()
        if not self._client.exists(self._stream):
            return
        info = self._client.xinfo_stream(self._stream)
        first = info.get("first-entry")
        # Entries that are gone; servers before 7.0 do not count them.
        n_gone = info.get("entries-added", 0) - info["length"]
        is_behind = first is None or _parse_id(first[0].decode()) > _parse_id(self._id)
        if n_gone > self._n_read and is_behind:
            self._sources.count_gap(n_gone - self._n_read)
            self._n_read = n_gone


def _parse_id(entry: str) -> tuple[int, int]:
    """Return an entry id as numbers, which compare in the order of the stream."""
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)


CONNECTORS = (
    Connector(
        "redis",
        RedisSource,
        (
            Form("redis://127.0.0.1:6379/STREAM", _ALONE),
            Form("redis://127.0.0.1:6379/STREAM?group=NAME", _GROUP),
        ),
        extra=REDIS,
        server=("host", "stream"),
    ),
)
