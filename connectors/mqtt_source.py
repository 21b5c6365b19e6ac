"""Rows from an MQTT broker."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.broker import password
from loco_stream.connectors.ls1.messages import read_message
from loco_stream.connectors.ls1.receiver import Receiver
from loco_stream.connectors.ls1.remote_source import Streams
from loco_stream.connectors.ls1.wire import HEADER, MAGIC, Limits
from loco_stream.connectors.rows import check_task
from loco_stream.connectors.values import need
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Schema

__all__ = ["MQTTSource"]

_TICK = 0.1  # seconds without giving control back
_PATIENCE = 10.0  # seconds that the first connection may take
_BATCH = 1024


@dataclass(slots=True)
class _Open:
    """A message that the broker keeps until it is acked; `needs` is the row that has to be durable first."""

    mid: int
    needs: tuple[str, int, int] | None  # source, epoch, seq


class MQTTSource:
    """Messages of one topic filter, QoS 1, acked when learned and durable; needs ``loco-stream[mqtt]``.

    The session is persistent: while the engine is away the broker keeps what comes, and what was not
    acked is delivered again. A repeated row that carries a seq is recognised and dropped; one without
    is learned twice. The row's source is the topic it was published to; a message is one readable row
    (a JSON or MessagePack map, or a number alone), or an LS1 header followed by its payload.

    Parameters
    ----------
    host
        The broker.
    topic
        Topic filter, such as ``sensors/+/rows`` or ``sensors/#``.
    port
        None is 1883, or 8883 with `tls`.
    client_id
        Names the session at the broker; two engines need two.
    target, time
        Keys of the label, and of the event time in seconds since 1970, in messages that are flat maps.
    username
        With the password in the environment variable ``LOCO_STREAM_MQTT_PASSWORD``, or in the file that
        ``LOCO_STREAM_MQTT_PASSWORD_FILE`` names.
    tls
        Encrypt, and check the broker's certificate against the system's authorities.
    task
        Refuse schemas of another task; with regression, readable labels are values.
    idle
        End after so many seconds without a message; None never does.
    max
        End with the message that brings so many rows.
    endless
        Go on after the end of stream (kind 5) of every source heard.
    limits
        What peers may send.

    Raises
    ------
    SourceError
        No broker there, or one that refuses the client.

    Examples
    --------
    >>> from loco_stream.connectors import MQTTSource
    >>> MQTTSource("127.0.0.1", "sensors/+/rows", port=1)  # with a broker there, it would yield rows
    Traceback (most recent call last):
    loco_stream.errors.SourceError: cannot reach the MQTT broker 127.0.0.1:1: Connection refused
    """

    guarantee = "at least once: the broker repeats what was not acked, and rows with a seq are recognised"
    needs_log = True

    def __init__(
        self,
        host: str,
        topic: str,
        *,
        port: int | None = None,
        target: str = "y",
        time: str = "t",
        client_id: str = "loco-stream",
        username: str | None = None,
        tls: bool = False,
        task: str | None = None,
        idle: float | None = None,
        max: int | None = None,  # noqa: A002 - the option's name in the URL
        endless: bool = False,
        limits: Limits | None = None,
    ) -> None:
        _check(topic, client_id, idle, max)
        self._mqtt = need("paho.mqtt.client", "mqtt", "mqtt")
        self._streams = Streams(limits or Limits(), check_task(task))
        self._receiver = Receiver(self._streams)
        self._idle = math.inf if idle is None else idle
        self._rows_left = math.inf if max is None else max
        self._endless = endless
        self._topic, self._target, self._time_key = topic, target, time
        self._received: deque[Any] = deque()
        self._open: deque[_Open] = deque()
        self._refusal: str | None = None
        self._subscribed = False
        self._retry_at = 0.0
        self._where = f"{host}:{port or (8883 if tls else 1883)}"
        self.name = f"mqtt://{self._where}/{topic}"
        self._client = self._connect(host, port or (8883 if tls else 1883), client_id, username, tls)

    def _connect(self, host: str, port: int, client_id: str, username: str | None, tls: bool) -> Any:
        client = self._mqtt.Client(
            self._mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, manual_ack=True
        )
        client.max_inflight_messages_set(_BATCH)
        if username is not None:
            client.username_pw_set(username, password("MQTT"))
        if tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = lambda _client, _data, message: self._received.append(message)
        try:
            client.connect(host, port, keepalive=60)
            deadline = time.monotonic() + _PATIENCE
            while not self._subscribed and self._refusal is None and time.monotonic() < deadline:
                client.loop(_TICK)
        except (OSError, ValueError) as e:
            raise SourceError(
                f"cannot reach the MQTT broker {self._where}: {getattr(e, 'strerror', None) or e}"
            ) from None
        if not self._subscribed:
            client.disconnect()
            why = self._refusal or f"no answer within {_PATIENCE:g} s"
            raise SourceError(f"the MQTT broker {self._where} refuses the client: {why}")
        return client

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
        else:
            client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Sequence[Any], _properties: Any) -> None:
        failed = [str(r) for r in reasons if r.is_failure]
        if failed:
            self._refusal = f"topic {self._topic}: {failed[0]}"
        else:
            self._subscribed = True

    @property
    def stats(self) -> dict[str, int]:
        """What has come since the start, and what was wrong with it."""
        return dict(self._streams.stats)

    @property
    def last_error(self) -> str:
        """The last sentence said about a bad message; empty if there was none."""
        return self._receiver.last_error

    @property
    def schema(self) -> Schema | None:
        """The first source's schema; None until one has come."""
        return self._streams.schema

    @property
    def position(self) -> dict[str, Any]:
        """``{topic: {epoch: seq}}`` of the rows handed out; under the empty name, the schemas."""
        return self._streams.position

    def seek(self, position: Mapping[str, Any]) -> None:
        """Take rows up to `position` for repeats; the broker sends again what it has no ack of."""
        self._streams.seek(position)

    def ack(self, position: Mapping[str, Any]) -> None:
        """Everything up to `position` is learned and durable: the broker may forget it."""
        for _ in self._streams.advance(position):
            pass
        self._settle()

    def reply(self, event: Event, values: NDArray[np.float32], classes: Sequence[Any]) -> None:
        """There is no way back."""

    def close(self) -> None:
        """Disconnect; the broker keeps the session and what was not acked."""
        self._client.disconnect()

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield lists of events, empty ones while nothing comes."""
        heard = time.monotonic()
        while self._rows_left > 0:
            self._loop()
            events = [e for e in (self._take(m) for m in self._taken()) if e is not None]
            self._settle()
            if events:
                heard = time.monotonic()
            elif time.monotonic() - heard >= self._idle or (self._receiver.all_ended and not self._endless):
                return
            self._rows_left -= sum(len(getattr(event, "X", (event,))) for event in events)
            yield events

    def _loop(self) -> None:
        """Let the client read and write once, and reconnect where needed."""
        if self._client.loop(_TICK) == self._mqtt.MQTT_ERR_SUCCESS:
            return
        self._open.clear()  # the broker numbers its messages anew and repeats them
        now = time.monotonic()
        if now < self._retry_at:
            time.sleep(_TICK)
            return
        self._retry_at = now + 1.0
        try:
            self._client.reconnect()
        except OSError:
            return  # still away: the next round tries again

    def _taken(self) -> Iterator[Any]:
        for _ in range(min(len(self._received), _BATCH)):
            yield self._received.popleft()

    def _take(self, message: Any) -> Event | None:
        body = message.payload
        topic = message.topic.encode()
        if body[:4] == MAGIC:
            event = self._receiver.take([topic, body[: HEADER.size], body[HEADER.size :]], repeated=message.dup)
        else:
            event = self._receiver.take_row(
                topic,
                lambda features: read_message(body, features, self._streams.limits, self._target, self._time_key),
                repeated=message.dup,
            )
        stream = self._streams.by_name.get(message.topic)
        reached = None if stream is None else next(reversed(stream.last.items()), None)
        needs = None if reached is None else (message.topic, *reached)
        self._open.append(_Open(message.mid, needs))
        return event

    def _settle(self) -> None:
        """Ack what is durable, in the order it came, as MQTT demands."""
        while self._open and self._durable(self._open[0].needs):
            self._client.ack(self._open.popleft().mid, 1)

    def _durable(self, needs: tuple[str, int, int] | None) -> bool:
        if needs is None:
            return True
        name, epoch, seq = needs
        stream = self._streams.by_name.get(name)
        return stream is None or any(e > epoch or (e == epoch and q >= seq) for e, q in stream.durable.items())


def _check(topic: str, client_id: str, idle: float | None, most: int | None) -> None:
    if not topic:
        raise ConfigError("topic must name what to subscribe to, for example sensors/#")
    if not client_id:
        raise ConfigError("client_id must not be empty: the broker keeps the session under it")
    for name, value in (("idle", idle), ("max", most)):
        if value is not None and not value > 0:
            raise ConfigError(f"{name} must be > 0, not {value!r}")
