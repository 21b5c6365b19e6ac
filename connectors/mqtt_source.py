"""Rows from an MQTT broker."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loco_stream.connectors.broker import BATCH, TICK, BrokerSource, password
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.topic_rows import TopicRows
from loco_stream.connectors.values import need
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event

__all__ = ["MQTTSource"]

_PATIENCE = 10.0  # seconds that the first connection may take


@dataclass(slots=True)
class _Open:
    """A message that the broker keeps until it is acked.

    `needs` is the row that has to be durable first.
    """

    mid: int
    needs: tuple[str, int, int] | None  # source, epoch, seq


class MQTTSource(BrokerSource):
    """Messages of one topic filter, QoS 1, acked when learned and durable.

    Needs ``loco-stream[mqtt]``.

    The session is persistent: while the engine is away the broker keeps what comes, and what was
    not acked is delivered again. A repeated row that carries a seq is recognised and dropped; one
    without is learned twice. The row's source is the topic it was published to; a message is one
    readable row (a JSON or MessagePack map, or a number alone), or an LS1 header followed by its
    payload.

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
    join
        ``"topic"``: a message is one value, a number or a word, and several topics make one row of
        the source `topic`. A feature bears the last part of its topic's name, and the one named
        `target` is the label.
    within
        Seconds after its first value in which the values of such a row come; a feature that comes
        again begins the next row earlier. 0.1 is more than a publisher needs to send its values one
        after the other.
    target, time
        Keys of the label, and of the event time in seconds since 1970, in messages that are flat
        maps.
    username
        With the password in the environment variable ``LOCO_STREAM_MQTT_PASSWORD``, or in the file
        that ``LOCO_STREAM_MQTT_PASSWORD_FILE`` names.
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

    guarantee = (
        "at least once: the broker repeats what was not acked, and rows with a seq are recognised"
    )
    needs_log = True

    def __init__(
        self,
        host: str,
        topic: str,
        *,
        port: int | None = None,
        target: str = "y",
        time: str = "t",
        join: str | None = None,
        within: float = 0.1,
        client_id: str = "loco-stream",
        username: str | None = None,
        tls: bool = False,
        task: str | None = None,
        idle: float | None = None,
        max: int | None = None,  # noqa: A002 - the option's name in the URL
        endless: bool = False,
        limits: Limits | None = None,
    ) -> None:
        port = port or (8883 if tls else 1883)
        super().__init__(
            f"mqtt://{host}:{port}/{topic}",
            task=task,
            target=target,
            time_key=time,
            idle=idle,
            max=max,
            endless=endless,
            limits=limits,
        )
        _check(topic, client_id, join, within)
        self._mqtt = need("paho.mqtt.client", "mqtt", "mqtt")
        self._rows = TopicRows(within, target, self._limits.features) if join else None
        self._topic = topic
        self._received: deque[Any] = deque()
        self._open: deque[_Open] = deque()
        self._refusal: str | None = None
        self._subscribed = False
        self._retry_at = 0.0
        self._where = f"{host}:{port}"
        self._client = self._connect(host, port, client_id, username, tls)

    def _connect(
        self, host: str, port: int, client_id: str, username: str | None, tls: bool
    ) -> Any:
        client = self._mqtt.Client(
            self._mqtt.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            manual_ack=True,
        )
        client.max_inflight_messages_set(BATCH)
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
                client.loop(TICK)
        except (OSError, ValueError) as e:
            raise SourceError(
                f"cannot reach the MQTT broker {self._where}: {getattr(e, 'strerror', None) or e}"
            ) from None
        if not self._subscribed:
            client.disconnect()
            why = self._refusal or f"no answer within {_PATIENCE:g} s"
            raise SourceError(f"the MQTT broker {self._where} refuses the client: {why}")
        return client

    def _on_connect(
        self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
        else:
            client.subscribe(self._topic, qos=1)

    def _on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: Sequence[Any], _properties: Any
    ) -> None:
        failed = [str(r) for r in reasons if r.is_failure]
        if failed:
            self._refusal = f"topic {self._topic}: {failed[0]}"
        else:
            self._subscribed = True

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

    def close(self) -> None:
        """Disconnect; the broker keeps the session and what was not acked."""
        self._client.disconnect()

    def _fetch(self) -> Sequence[Event | None]:
        self._loop()
        events: list[Event | None] = []
        for _ in range(min(len(self._received), BATCH)):
            events += self._read_message(self._received.popleft())
        if self._rows is not None and self._rows.due:
            events.append(self._end_row(self._rows))
        self._settle()
        return events

    def _loop(self) -> None:
        """Let the client read and write once, and reconnect where needed."""
        if self._client.loop(TICK) == self._mqtt.MQTT_ERR_SUCCESS:
            return
        if self._rows is not None:
            self._rows.clear()
        self._open.clear()  # the broker numbers its messages anew and repeats them
        now = time.monotonic()
        if now < self._retry_at:
            time.sleep(TICK)
            return
        self._retry_at = now + 1.0
        try:
            self._client.reconnect()
        except OSError:
            return  # still away: the next round tries again

    def _read_message(self, message: Any) -> list[Event | None]:
        if self._rows is not None:
            return self._join(self._rows, message)
        event = self._take(message.topic, message.payload, repeated=message.dup)
        stream = self._streams.by_name.get(message.topic)
        reached = None if stream is None else next(reversed(stream.last.items()), None)
        self._open.append(
            _Open(message.mid, None if reached is None else (message.topic, *reached))
        )
        return [event]

    def _join(self, rows: TopicRows, message: Any) -> list[Event | None]:
        """Add a value to the open row; it may end the one before."""
        ended = [] if rows.fits(message.topic) or not len(rows) else [self._end_row(rows)]
        needs = None
        try:
            rows.put(message.topic, message.payload)
        except SourceError as error:
            self._receiver.refuse(error)
        else:
            epoch, seq = next(reversed(self._streams.find(self._topic).last.items()), (0, 0))
            needs = (self._topic, epoch, seq + 1)  # the number that the open row will get
        self._open.append(_Open(message.mid, needs))
        return ended

    def _end_row(self, rows: TopicRows) -> Event | None:
        self._streams.stats["messages"] += len(rows) - 1
        row = rows.end()
        return self._receiver.take_row(self._topic.encode(), lambda _: row)

    def _settle(self) -> None:
        """Ack what is durable, in the order it came, as MQTT demands."""
        while self._open and self._durable(self._open[0].needs):
            self._client.ack(self._open.popleft().mid, 1)

    def _durable(self, needs: tuple[str, int, int] | None) -> bool:
        if needs is None:
            return True
        name, epoch, seq = needs
        stream = self._streams.by_name.get(name)
        return stream is None or any(
            e > epoch or (e == epoch and q >= seq) for e, q in stream.durable.items()
        )


def _check(topic: str, client_id: str, join: str | None, within: float) -> None:
    if not topic:
        raise ConfigError("topic must name what to subscribe to, for example sensors/#")
    if not client_id:
        raise ConfigError("client_id must not be empty: the broker keeps the session under it")
    if join not in {None, "topic"}:
        raise ConfigError(f"join must be 'topic', not {join!r}")
    if not 0 < within < math.inf:
        raise ConfigError(f"within must be > 0 seconds, not {within!r}")
