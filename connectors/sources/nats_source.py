"""Subjects of a NATS JetStream as a source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from loco_stream._checks import checks_types
from loco_stream._text import reason_of
from loco_stream.connectors._base.async_client import AsyncClient
from loco_stream.connectors._base.broker_source import (
    BATCH,
    CONNECT_SECONDS,
    TICK,
    BrokerSource,
)
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.extras import NATS
from loco_stream.connectors._base.secrets import password
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Position

_CALL_SECONDS = 5.0


class NATSSource(BrokerSource):
    """Messages of a NATS JetStream.

    A message is a row as JSON or MessagePack map, a number, or an LS1 header and payload. The
    source name of a row is the subject of its message. The stream that holds the subject has to
    exist; it is read from its first message or from the checkpoint on. Nothing is acknowledged: the
    stream keeps its messages as it is configured to.

    Parameters
    ----------
    host
        Host of the server.
    subject
        The subject, or a pattern such as ``sensors.*.rows`` or ``sensors.>``.
    port
        Port of the server.
    labels
        Subject of labels that come later, as ``{"id": 7, "label": "ok"}``; other fields are
        ignored. Messages with an id and a label alone are also taken in `subject`.
    username
        Login name. The password is read from the environment variable
        ``LOCO_STREAM_NATS_PASSWORD``, or from the file that ``LOCO_STREAM_NATS_PASSWORD_FILE``
        names.
    tls
        Encrypt the connection, and verify the server's certificate.
    options
        Fields and bounds as in any source of messages.

    Raises
    ------
    SourceError
        The server cannot be reached or refuses the client, no stream holds the subject, or the
        library is not installed.

    Examples
    --------
    >>> from loco_stream.connectors import NATSSource
    >>> NATSSource("127.0.0.1", "rows", port=1)
    Traceback (most recent call last):
    loco_stream.errors.SourceError: cannot reach the NATS server 127.0.0.1:1: ...
    """

    guarantee = "exactly once (resumes from the sequence number of the stream)"

    @checks_types
    def __init__(
        self,
        host: str,
        subject: str,
        *,
        port: int = 4222,
        labels: str | None = None,
        username: str | None = None,
        tls: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(f"nats://{host}:{port}/{subject}", **options)
        if not subject:
            raise ConfigError("`subject` must be a subject such as sensors.>, got an empty one")
        self._nats = NATS.load()
        self._where = f"{host}:{port}"
        self._cursors = [_SubjectCursor(subject)]
        if labels is not None:
            self._cursors.append(_SubjectCursor(labels))
            self._name_labels(f"the subject {labels}")
        self._asyncio = AsyncClient("nats")
        self._last_error: Exception | None = None
        try:
            self._client = self._connect(f"{'tls' if tls else 'nats'}://{self._where}", username)
            self._jetstream = self._client.jetstream(timeout=_CALL_SECONDS)
            for cursor in self._cursors:
                cursor.stream = self._find_stream(cursor.subject)
        except BaseException:
            self._asyncio.close()
            raise

    def _connect(self, url: str, username: str | None) -> Any:
        login = {} if username is None else {"user": username, "password": password("NATS")}
        client = self._nats.NATS()
        call = client.connect(
            url,
            connect_timeout=CONNECT_SECONDS,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,
            error_cb=self._keep_error,
            **login,
        )
        try:
            self._asyncio.run(call, CONNECT_SECONDS)
        except (OSError, TimeoutError, self._nats.errors.Error) as e:
            with suppress(TimeoutError, self._nats.errors.Error):
                self._asyncio.run(client.close(), _CALL_SECONDS)
            raise SourceError(
                f"cannot reach the NATS server {self._where}: {reason_of(self._last_error or e)}"
            ) from None
        return client

    async def _keep_error(self, error: Exception) -> None:
        """Keep the first error, or what the server says; the client connects again."""
        if self._last_error is None or not isinstance(error, OSError):
            self._last_error = error

    def _find_stream(self, subject: str) -> str:
        try:
            name: str = self._asyncio.run(
                self._jetstream.find_stream_name_by_subject(subject), CONNECT_SECONDS
            )
        except self._nats.js.errors.ServiceUnavailableError:
            raise SourceError(
                f"the NATS server {self._where} has no JetStream: start it with -js"
            ) from None
        except self._nats.js.errors.NotFoundError:
            raise SourceError(
                f"the NATS server {self._where} has no stream for the subject {subject!r}"
            ) from None
        except (TimeoutError, self._nats.errors.Error) as e:
            raise SourceError(
                f"cannot find the stream of {subject!r} at {self._where}: {reason_of(e)}"
            ) from None
        return name

    @property
    def position(self) -> Position:
        """``{"seq": n, "rows": ...}``: sequence number of the last message, and its rows.

        With a subject of labels, its last sequence number is under ``"labels"``.
        """
        rows, *labels = self._cursors
        position = {"seq": rows.seq, "rows": self._sources.position}
        if labels:
            position["labels"] = labels[0].seq
        return position

    def seek(self, position: Position) -> None:
        """Continue after the messages in `position`."""
        self._seek_rows(position, "seq")
        for cursor, name in zip(self._cursors, ("seq", "labels"), strict=False):
            self._unsubscribe(cursor)
            cursor.seq = self._number_in(position, name)

    def close(self) -> None:
        """Close the connection."""
        for cursor in self._cursors:
            self._unsubscribe(cursor)
        if not self._asyncio.is_closed:
            with suppress(TimeoutError, self._nats.errors.Error):  # the server may be gone
                self._asyncio.run(self._client.close(), _CALL_SECONDS)
        self._asyncio.close()

    def _unsubscribe(self, cursor: _SubjectCursor) -> None:
        subscription = cursor.subscription
        cursor.subscription = None
        if subscription is None:
            return
        with suppress(TimeoutError, self._nats.errors.Error):  # else the server removes it
            self._asyncio.run(subscription.unsubscribe(), _CALL_SECONDS)

    def _fetch(self) -> Sequence[Event | None]:
        messages = []
        fault = ""
        for cursor in self._cursors:
            try:
                messages += [(cursor, message) for message in self._messages(cursor)]
            except (OSError, TimeoutError, self._nats.errors.Error) as e:
                self._unsubscribe(cursor)  # the server is away, or has lost the consumer
                if isinstance(e, self._nats.js.errors.NotFoundError):
                    fault = f"the server has no stream {cursor.stream!r}"
                time.sleep(TICK)
        if not self._client.is_connected:  # it connects again by itself
            fault = "the server does not answer"
        if fault:
            self._note_lost(fault)
        else:
            self._note_back()
        return [self._message(cursor, message) for cursor, message in messages]

    def _messages(self, cursor: _SubjectCursor) -> Sequence[Any]:
        if cursor.subscription is None:
            cursor.subscription = self._subscribe(cursor)
        timeout = TICK / len(self._cursors)
        try:
            found: Sequence[Any] = self._asyncio.run(
                cursor.subscription.fetch(BATCH, timeout), _CALL_SECONDS
            )
        except self._nats.errors.TimeoutError:  # nothing arrived
            return ()
        return found

    def _subscribe(self, cursor: _SubjectCursor) -> Any:
        """Create a consumer that begins after the cursor.

        Raises
        ------
        SourceError
            The stream has fewer messages than were read: it is another one of the same name.
        """
        self._check_reached(cursor)
        api = self._nats.js.api
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=cursor.seq + 1,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=60.0,
        )
        call = self._jetstream.pull_subscribe(cursor.subject, stream=cursor.stream, config=config)
        return self._asyncio.run(call, _CALL_SECONDS)

    def _check_reached(self, cursor: _SubjectCursor) -> None:
        """Count the messages after the cursor that the server no longer has."""
        info = self._asyncio.run(self._jetstream.stream_info(cursor.stream), _CALL_SECONDS)
        if info.state.last_seq < cursor.seq:
            raise SourceError(
                f"the stream {cursor.stream!r} ends at message {info.state.last_seq} and was read "
                f"up to {cursor.seq}: it is another stream; with a new checkpoint folder it is "
                "read from its beginning"
            )
        only_subject = list(info.config.subjects or ()) == [cursor.subject]
        if only_subject and cursor is self._cursors[0] and cursor.seq:
            self._sources.count_gap(max(0, info.state.first_seq - cursor.seq - 1))

    def _message(self, cursor: _SubjectCursor, message: Any) -> Event | None:
        meta = message.metadata
        seq = meta.sequence.stream
        if seq <= cursor.seq:
            self._sources.stats["duplicates"] += 1
            return None
        cursor.seq = seq
        t = meta.timestamp.timestamp()
        return self._read_message(
            message.subject,
            message.data,
            t=t,
            entry=str(seq),
            only_labels=cursor is not self._cursors[0],
        )


class _SubjectCursor:
    """How far one subject was read, and the subscription to it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.stream = ""
        self.seq = 0
        self.subscription: Any = None


CONNECTORS = (
    Connector(
        "nats",
        NATSSource,
        {"nats://127.0.0.1:4222/SUBJECT": NATSSource.guarantee},
        extra=NATS,
    ),
)
