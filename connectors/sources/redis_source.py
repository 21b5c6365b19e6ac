"""Streams of Redis or Valkey as a source."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from loco_stream._checks import checks_types
from loco_stream.connectors._base.broker_source import (
    BATCH,
    CONNECT_SECONDS,
    TICK,
    BrokerSource,
    completed,
)
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.extras import REDIS
from loco_stream.connectors._base.secrets import password
from loco_stream.connectors._base.values import parse_cell
from loco_stream.connectors.ls1._messages import Features, NamedMessage, to_row
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Position

_TRIM_CHECK_SECONDS = 1.0
_BEGINNING = "0-0"
_ALONE = "exactly once (resumes from the entry id)"
_Entry: TypeAlias = tuple["_StreamCursor", bytes, Mapping[bytes, bytes] | None]
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
    labels
        Key of a stream of labels that come later: ``XADD labels * id 7 label ok``; other fields are
        ignored. Entries with an id and a label alone are also taken in `stream`.
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
    options
        Fields and bounds as in any source of messages.

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

    @checks_types
    def __init__(
        self,
        host: str,
        stream: str,
        *,
        port: int = 6379,
        field: str = "data",
        labels: str | None = None,
        group: str | None = None,
        consumer: str = "loco-stream",
        username: str | None = None,
        tls: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(f"redis://{host}:{port}/{stream}", **options)
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
        self._cursors = {stream: _StreamCursor(stream)}
        if labels is not None:
            self._cursors[labels] = _StreamCursor(labels)
            self._name_labels(f"the stream {labels}")
        self._n_read = 0  # rows' entries before the next one, as the server counts
        self._reads_pending = group is not None  # entries not acknowledged yet are read first
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
        """Create the group where it is missing; raises `SourceError` for what is no stream."""
        for key in self._cursors:
            with self._connecting():
                kind = self._client.type(key)
                if self._group is not None and kind in (b"none", b"stream"):
                    self._create_group(key)
            if kind not in (b"none", b"stream"):
                raise SourceError(f"{key} at {self._where} must be a stream, got a {kind.decode()}")

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        """Turn the client's errors into a `SourceError`."""
        try:
            yield
        except self._redis.RedisError as e:
            is_refused = isinstance(e, self._redis.AuthenticationError)
            if is_refused or not isinstance(e, self._redis.ConnectionError):
                text = f"the Redis server {self._where} refuses the client: {e}"
                raise SourceError(text) from None
            reason = getattr(e.__cause__ or e.__context__, "strerror", None) or e
            raise SourceError(f"cannot reach the Redis server {self._where}: {reason}") from None

    def _create_group(self, key: str) -> None:
        try:
            self._client.xgroup_create(key, self._group, id="0", mkstream=True)
        except self._redis.ResponseError as e:
            if "BUSYGROUP" not in str(e):  # it exists already
                raise

    @property
    def position(self) -> Position:
        """``{"id": ..., "read": n, "rows": ...}``: last entry, number of entries, their rows.

        With a stream of labels, its last entry is under ``"labels"``.
        """
        rows, *labels = self._cursors.values()
        position = {"id": rows.read, "read": self._n_read, "rows": self._sources.position}
        if labels:
            position["labels"] = labels[0].read
        return position

    def seek(self, position: Position) -> None:
        """Continue after the entries in `position`."""
        self._seek_rows(position, "id")
        for cursor, name in zip(self._cursors.values(), ("id", "labels"), strict=False):
            cursor.seek(self._id_in(position, name))
        self._n_read = self._number_in(position, "read")
        self._reads_pending = self._group is not None

    def _id_in(self, position: Position, name: str) -> str:
        """Return the id of an entry in a position; that before the first one if it is missing."""
        entry = str(position.get(name, _BEGINNING))
        try:
            _parse_id(entry)
        except ValueError:
            raise SourceError(
                f"`position` of {self.name} must hold the id of an entry under {name!r}, "
                f"got {entry!r}"
            ) from None
        return entry

    def ack(self, position: Position) -> None:
        """Acknowledge the entries up to `position` to the group."""
        if self._group is None:
            return
        for cursor, name in zip(self._cursors.values(), ("id", "labels"), strict=False):
            self._ack(cursor, _parse_id(self._id_in(position, name)))

    def _ack(self, cursor: _StreamCursor, reached: tuple[int, int]) -> None:
        ids = [entry for entry in cursor.unacked if _parse_id(entry.decode()) <= reached]
        try:
            if ids:
                self._client.xack(cursor.key, self._group, *ids)
        except self._redis.RedisError:
            return  # acknowledged with a later one, or recognised when it is delivered again
        cursor.unacked = cursor.unacked[len(ids) :]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _fetch(self) -> Sequence[Event | None]:
        try:
            self._count_trimmed()
            entries = self._entries()
        except (self._redis.ConnectionError, self._redis.TimeoutError) as e:
            self._note_lost(e)
            time.sleep(TICK)  # the client connects again with the next command
            # The answer to a read may be lost: in a group, its entries are pending now.
            self._reads_pending = self._group is not None
            for cursor in self._cursors.values():
                cursor.pending = cursor.read
            return []
        except self._redis.RedisError as e:
            if str(e).startswith("NOGROUP"):  # the server has lost its data
                for key in self._cursors:
                    self._create_group(key)
                return []
            raise SourceError(f"the Redis server {self._where} refuses: {e}") from None
        self._note_back()
        return [self._entry(*entry) for entry in entries]

    def _entries(self) -> list[_Entry]:
        """Return the entries that have arrived: those with rows first, then those with labels."""
        wait = round(1000 * TICK)
        cursors = self._cursors
        if self._group is None:
            starts = {key: cursor.read for key, cursor in cursors.items()}
            return self._numbered(self._client.xread(starts, count=BATCH, block=wait))
        starts = {key: c.pending if self._reads_pending else ">" for key, c in cursors.items()}
        found = self._numbered(
            self._client.xreadgroup(self._group, self._consumer, starts, count=BATCH, block=wait)
        )
        if self._reads_pending and not found:
            self._reads_pending = False
        for cursor, number, _ in found:
            cursor.unacked.append(number)
            if self._reads_pending:
                cursor.pending = number.decode()
        return found

    def _numbered(self, answer: Sequence[Any]) -> list[_Entry]:
        by_key = {key.decode(): entries for key, entries in answer or ()}
        return [
            (cursor, number, fields)
            for key, cursor in self._cursors.items()
            for number, fields in by_key.get(key, ())
        ]

    def _entry(
        self, cursor: _StreamCursor, number: bytes, fields: Mapping[bytes, bytes] | None
    ) -> Event | None:
        entry = number.decode()
        parsed = _parse_id(entry)
        if parsed <= cursor.known:  # learned, but not acknowledged in time
            return None
        cursor.read = entry
        self._n_read += cursor.key == self._stream
        t = parsed[0] / 1000  # an id starts with the server's time in milliseconds
        if not fields:  # deleted while it was pending
            return None
        body = fields.get(self._field)
        if body is None:
            return self._receiver.take_row(
                cursor.key.encode(),
                lambda features: self._row(cursor.key, fields, features, t, entry),
            )
        y = self._label_beside(fields) if len(fields) > 1 else None
        only_labels = cursor.key != self._stream
        return self._read_message(cursor.key, body, y, t, entry=entry, only_labels=only_labels)

    def _label_beside(self, fields: Mapping[bytes, bytes]) -> Any:
        """Return the label in the fields beside a whole row."""
        found = ((name, fields.get(name.encode())) for name in self._fields.labels)
        cells = {name: label.decode("utf-8", "replace") for name, label in found if label}
        return self._fields.label({name: parse_cell(cell) for name, cell in cells.items()})

    def _row(
        self,
        key: str,
        fields: Mapping[bytes, bytes],
        features: Features,
        t: float,
        entry: str,
    ) -> NamedMessage:
        try:
            values = {name.decode(): parse_cell(value.decode()) for name, value in fields.items()}
        except UnicodeDecodeError as e:
            raise SourceError(f"fields must be UTF-8: {e}") from None
        roles = self._fields if key == self._stream else self._label_fields
        return completed(to_row(values, features, self._limits, roles), None, t, entry)

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
        read = self._cursors[self._stream].read
        is_behind = first is None or _parse_id(first[0].decode()) > _parse_id(read)
        if n_gone > self._n_read and is_behind:
            self._sources.count_gap(n_gone - self._n_read)
            self._n_read = n_gone


class _StreamCursor:
    """How far one stream was read.

    Attributes
    ----------
    read
        Id of the last entry read.
    known
        Entries up to this id were learned before.
    pending
        The last entry read again of those that the group has not acknowledged.
    unacked
        Entries to be acknowledged to the group.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.unacked: list[bytes] = []
        self.seek(_BEGINNING)

    def seek(self, entry: str) -> None:
        """Continue after an entry."""
        self.read = entry
        self.known = _parse_id(entry)
        self.pending = _BEGINNING
        self.unacked.clear()


def _parse_id(entry: str) -> tuple[int, int]:
    """Return an entry id as numbers, which compare in the order of the stream."""
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)


CONNECTORS = (
    Connector(
        "redis",
        RedisSource,
        {
            "redis://127.0.0.1:6379/STREAM": _ALONE,
            "redis://127.0.0.1:6379/STREAM?group=NAME": _GROUP,
        },
        extra=REDIS,
    ),
)
