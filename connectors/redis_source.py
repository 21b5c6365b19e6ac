"""Rows from a stream of Redis or Valkey."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from loco_stream.connectors.broker import BATCH, TICK, BrokerSource, password
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import row_of
from loco_stream.connectors.values import need, parse_cell
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event

__all__ = ["RedisSource"]

_LOOK = 1.0  # seconds between two looks whether rows were trimmed before they were read
_ALONE = "exactly-once state: rows are read on from the id that the checkpoint or the log holds"
_GROUP = (
    "exactly-once state: entries are acknowledged to the group once they are learned and durable"
)


class RedisSource(BrokerSource):
    """Entries of one stream, from its beginning or from where the checkpoint ends.

    Needs ``loco-stream[redis]``.

    An entry is a row by fields, ``XADD rows * speed 0.4 load 1.2 y ok``, or it has a field `field`
    that holds a row as a JSON or MessagePack map, or an LS1 header followed by its payload. The
    row's source is the stream.

    Without a group the server need not know of the reader: entries trimmed before they were read
    are counted as gaps. With one, entries are shared among the group's consumers, and those that
    were not acknowledged come again.

    Parameters
    ----------
    host
        The server.
    stream
        The stream's key.
    port
        Of the server.
    field
        The field of an entry that holds a whole row.
    target, time
        Field of the label, and of the event time in seconds since 1970.
    group, consumer
        Read as this consumer of a group, which is made at the stream's beginning if it is not
        there. Two engines of one group need two names.
    username
        With the password in the environment variable ``LOCO_STREAM_REDIS_PASSWORD``, or in the file
        that ``LOCO_STREAM_REDIS_PASSWORD_FILE`` names.
    tls
        Encrypt, and check the server's certificate against the system's authorities.
    task, idle, max, endless, limits
        As in `MQTTSource`.

    Raises
    ------
    SourceError
        No server there, one that refuses the client, or a key that is no stream.

    Examples
    --------
    >>> from loco_stream.connectors import RedisSource
    >>> RedisSource("127.0.0.1", "rows", port=1)  # with a server there, it would yield rows
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
        idle: float | None = None,
        max: int | None = None,  # noqa: A002 - the option's name in the URL
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
        if group == "" or not consumer:
            raise ConfigError(
                "group and consumer must not be empty: the server keeps what they have read under them"
            )
        self._redis = need("redis", "redis", "redis")
        self._stream, self._field = stream, field.encode()
        self._group = group
        self._consumer = consumer
        self.needs_log = group is not None  # an acknowledged entry does not come again
        self.guarantee = _ALONE if group is None else _GROUP
        self._id = "0-0"  # of the last entry that was handed out
        self._known = self._id  # entries up to it were learned before
        self._pending = (
            group is not None
        )  # whether entries that were not acknowledged are to be read first
        self._read_on = "0-0"  # among those
        self._n_read = 0  # entries before the next one, by the server's count
        self._unacked: list[bytes] = []
        self._looked_at = -math.inf
        self._where = f"{host}:{port}"
        self._client = self._redis.Redis(
            host=host,
            port=port,
            username=username,
            password=password("REDIS"),
            ssl=tls,
            socket_timeout=10.0,
            socket_connect_timeout=10.0,
            retry=None,
            protocol=2,
        )
        self._greet()

    def _greet(self) -> None:
        try:
            kind = self._client.type(self._stream)
            if self._group is not None and kind in (b"none", b"stream"):
                self._make_group()
        except self._redis.AuthenticationError as e:
            raise SourceError(f"the Redis server {self._where} refuses the client: {e}") from None
        except self._redis.ConnectionError as e:
            cause = e.__cause__ or e.__context__
            reason = getattr(cause, "strerror", None) or e
            raise SourceError(f"cannot reach the Redis server {self._where}: {reason}") from None
        except self._redis.RedisError as e:
            raise SourceError(f"the Redis server {self._where} refuses the client: {e}") from None
        if kind not in (b"none", b"stream"):
            raise SourceError(f"{self._stream} at {self._where} is a {kind.decode()}, not a stream")

    def _make_group(self) -> None:
        try:
            self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except self._redis.ResponseError as e:
            if "BUSYGROUP" not in str(e):  # else it is there already
                raise

    @property
    def position(self) -> dict[str, Any]:
        """``{"id": ..., "read": n, "rows": ...}``.

        The last entry handed out, how many were, and the rows in them.
        """
        return {"id": self._id, "read": self._n_read, "rows": self._streams.position}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go on behind the entry that `position` names."""
        self._seek_rows(position, "id")
        self._id = self._known = str(position["id"])
        self._n_read = int(position.get("read", 0))
        self._pending = self._group is not None
        self._read_on = "0-0"
        self._unacked.clear()

    def ack(self, position: Mapping[str, Any]) -> None:
        """Everything up to `position` is learned and durable: tell the group."""
        if self._group is None:
            return
        reached = _number(str(position["id"]))
        ids = [entry for entry in self._unacked if _number(entry.decode()) <= reached]
        try:
            if ids:
                self._client.xack(self._stream, self._group, *ids)
        except self._redis.RedisError:
            return  # acknowledged with a later one, or known when it comes again
        self._unacked = self._unacked[len(ids) :]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _fetch(self) -> Sequence[Event | None]:
        try:
            self._look_for_gaps()
            entries = self._entries()
        except (self._redis.ConnectionError, self._redis.TimeoutError):
            time.sleep(TICK)  # the server is away; the client connects again with the next command
            # an answer may be lost
            self._pending = self._group is not None
            self._read_on = self._id
            return []
        except self._redis.RedisError as e:
            if str(e).startswith("NOGROUP"):  # a server that began anew
                self._make_group()
                return []
            raise SourceError(f"the Redis server {self._where} refuses: {e}") from None
        return [self._entry(number, fields) for number, fields in entries]

    def _entries(self) -> list[Any]:
        wait = round(1000 * TICK)
        if self._group is None:
            found = self._client.xread({self._stream: self._id}, count=BATCH, block=wait)
            return found[0][1] if found else []
        start = self._read_on if self._pending else ">"
        found = self._client.xreadgroup(
            self._group, self._consumer, {self._stream: start}, count=BATCH, block=wait
        )
        entries = found[0][1] if found else []
        if self._pending and not entries:
            self._pending = False
        if self._pending:
            self._read_on = entries[-1][0].decode()
        self._unacked += [entry for entry, _ in entries]
        return entries

    def _entry(self, number: bytes, fields: Mapping[bytes, bytes] | None) -> Event | None:
        entry = number.decode()
        if _number(entry) <= _number(self._known):  # learned before, and not acknowledged in time
            return None
        self._id = entry
        self._n_read += 1
        t = (
            int(entry.partition("-")[0]) / 1000
        )  # ids begin with the server's clock, in milliseconds
        if not fields:  # deleted while it was pending
            return None
        body = fields.get(self._field)
        if body is not None:
            label = fields.get(self._target.encode())
            return self._take(
                self._stream, body, None if label is None else parse_cell(label.decode()), t
            )
        return self._receiver.take_row(
            self._stream.encode(), lambda features: self._row(fields, features, t)
        )

    def _row(
        self, fields: Mapping[bytes, bytes], features: tuple[str, ...] | None, t: float
    ) -> Any:
        try:
            values = {name.decode(): parse_cell(value.decode()) for name, value in fields.items()}
        except UnicodeDecodeError as e:
            raise SourceError(f"a field is not UTF-8: {e}") from None
        row = row_of(values, features, self._limits, self._target, self._time_key)
        row.t = t if math.isnan(row.t) else row.t
        return row

    def _look_for_gaps(self) -> None:
        """Count the entries that were trimmed before they were read."""
        if self._group is not None or time.monotonic() - self._looked_at < _LOOK:
            return
        self._looked_at = time.monotonic()
        if not self._client.exists(self._stream):
            return
        told = self._client.xinfo_stream(self._stream)
        first = told.get("first-entry")
        before = (
            told.get("entries-added", 0) - told["length"]
        )  # entries that are gone; servers before 7.0 do not count
        if before > self._n_read and (
            first is None or _number(first[0].decode()) > _number(self._id)
        ):
            self._streams.count_gap(before - self._n_read)
            self._n_read = before


def _number(entry: str) -> tuple[int, int]:
    """Return an id as numbers, which are in the order of the stream."""
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)
