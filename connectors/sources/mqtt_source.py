"""Topics of an MQTT broker as a source."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loco_stream._checks import checks_types
from loco_stream._text import reason_of
from loco_stream.connectors._base.broker_source import (
    BATCH,
    CONNECT_SECONDS,
    TICK,
    BrokerSource,
)
from loco_stream.connectors._base.checks import check_positive
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.extras import MQTT
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors._base.secrets import password
from loco_stream.connectors._base.topic_joiner import TopicJoiner
from loco_stream.connectors.ls1._receiver import LABELS
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Labels, Position

_RECONNECT_SECONDS = 1.0
_WITHIN = 0.1  # seconds
_SHORT_SECONDS = 10.0  # that a connection holds at least, if no other client takes its session
_MANY_SHORT = 3

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Unacked:
    """A message that the broker keeps until it is acknowledged.

    `row` is the source, epoch and seq of the row that has to be durable first.
    """

    mid: int
    row: tuple[str, int, int] | None


class MQTTSource(BrokerSource):
    """Messages of an MQTT topic filter, with QoS 1.

    The session is persistent: while the engine is away, the broker keeps new messages, and it
    delivers those again that were not acknowledged. They are acknowledged once their rows are
    learned and durable. A repeated row with a `seq` or an `id` is recognised and dropped; one
    without is learned twice.

    A message is a row as JSON or MessagePack map, a number, or an LS1 header and payload. The
    source name of a row is the topic of its message.

    Parameters
    ----------
    host
        Host of the broker.
    topic
        Topic filter, such as ``sensors/+/rows`` or ``sensors/#``.
    labels
        Topic filter of labels that come later, as ``{"id": 7, "label": "ok"}``; other fields are
        ignored. Messages with an id and a label alone are also taken in `topic`.
    port
        Port of the broker. By default 1883, or 8883 with `tls`.
    client_id
        Name of the session at the broker. Two engines need two names.
    join
        ``topic``: each message is one value, a number or a word, and several topics form one row.
        Features are named by the last part of the topic; the one named `target` is the label.
    within
        Time after the first value in which the other values of such a row arrive, by default 0.1 s.
        A feature that repeats starts the next row earlier.
    username
        Login name. The password is read from the environment variable
        ``LOCO_STREAM_MQTT_PASSWORD``, or from the file that ``LOCO_STREAM_MQTT_PASSWORD_FILE``
        names.
    tls
        Encrypt the connection, and verify the broker's certificate.
    options
        Fields and bounds as in any source of messages.

    Raises
    ------
    SourceError
        The broker cannot be reached or refuses the client, or the library is not installed.

    Examples
    --------
    >>> from loco_stream.connectors import MQTTSource
    >>> MQTTSource("127.0.0.1", "sensors/+/rows", port=1)
    Traceback (most recent call last):
    loco_stream.errors.SourceError: cannot reach the MQTT broker 127.0.0.1:1: Connection refused
    """

    guarantee = "at least once (rows with a seq or an id are learned once)"
    needs_log = True

    @checks_types
    def __init__(
        self,
        host: str,
        topic: str,
        *,
        port: int | None = None,
        labels: str | None = None,
        join: str | None = None,
        within: Seconds | None = None,
        client_id: str = "loco-stream",
        username: str | None = None,
        tls: bool = False,
        **options: Any,
    ) -> None:
        port = port or (8883 if tls else 1883)
        super().__init__(f"mqtt://{host}:{port}/{topic}", **options)
        _check(topic, client_id, join)
        if within is not None and join is None:
            raise ConfigError(f"`within` needs join=topic, got {within:g} without it")
        within = _WITHIN if within is None else within
        check_positive(within=within)
        self._mqtt = MQTT.load()
        self._listened = 0.0  # seconds in `loop`
        self._joiner: TopicJoiner | None = None
        if join:
            features = self._limits.features
            self._joiner = TopicJoiner(within, self._fields, features, lambda: self._listened)
        self._topic = topic
        self._topics = [topic] if labels is None else [topic, labels]
        if labels is not None:
            self._name_labels(f"the topic {labels}")
        self._received: deque[Any] = deque()
        self._unacked: deque[_Unacked] = deque()
        self._refusal: str | None = None
        self._is_subscribed = False
        self._is_new_session = False
        self._reconnect_at = 0.0
        self._subscribed_at = 0.0
        self._n_short = 0  # connections one after another that were ended soon
        self._where = f"{host}:{port}"
        self._client_id = client_id
        self._client = self._create_client(client_id, username, tls)
        self._connect(host, port)

    def _create_client(self, client_id: str, username: str | None, tls: bool) -> Any:
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
        return client

    def _connect(self, host: str, port: int) -> None:
        client = self._client
        deadline = time.monotonic() + CONNECT_SECONDS
        try:
            client.connect(host, port, keepalive=60)
            while not (self._is_subscribed or self._refusal) and time.monotonic() < deadline:
                client.loop(TICK)
        except (OSError, ValueError) as e:
            raise SourceError(
                f"cannot reach the MQTT broker {self._where}: {reason_of(e)}"
            ) from None
        if not self._is_subscribed:
            client.disconnect()
            why = self._refusal or f"no answer within {CONNECT_SECONDS:g} s"
            raise SourceError(f"the MQTT broker {self._where} refuses the client: {why}")

    def _on_connect(
        self, client: Any, _data: Any, flags: Any, reason: Any, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        self._is_new_session = not flags.session_present
        if self._is_subscribed:
            self._note_a_new_session()
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: Sequence[Any], _properties: Any
    ) -> None:
        failed = [str(reason) for reason in reasons if reason.is_failure]
        if failed:
            self._refusal = f"topic {' or '.join(self._topics)}: {failed[0]}"
        else:
            self._is_subscribed = True
            self._subscribed_at = time.monotonic()
            self._refusal = None
            self._note_back()

    def _note_a_new_session(self) -> None:
        """Note that the broker kept no messages, as after a restart without persistence."""
        if self._is_new_session:
            self._note(
                f"{self.name}: the broker had no session of this engine: messages sent while it "
                "was not connected are lost"
            )

    def seek(self, position: Position) -> None:
        """Go to a position: rows up to it are duplicates."""
        super().seek(position)
        if position:
            self._note_a_new_session()

    def ack(self, position: Position) -> None:
        """Acknowledge the messages whose rows are up to `position`."""
        self._sources.mark_durable(position)
        self._ack_durable()

    def close(self) -> None:
        """Disconnect; the broker keeps the session and the messages that are not acknowledged."""
        self._client.disconnect()

    def _fetch(self) -> Sequence[Event | None]:
        self._communicate()
        events: list[Event | None] = []
        for _ in range(int(min(len(self._received), BATCH, self._rows_left))):
            events += self._message(self._received.popleft())
        if self._joiner is not None and self._joiner.due:
            events.append(self._end_row(self._joiner))
        self._ack_durable()
        return events

    def _communicate(self) -> None:
        """Let the client read what has arrived, and write; reconnect if necessary.

        A call of `loop` reads one message. Messages of one fetch share a commit, and so a write to
        disk: one by one, rows would come at the speed of the disk, and a broker with a short queue
        would drop the others.
        """
        began = time.monotonic()
        state = self._client.loop(0.0 if self._received else TICK)  # no wait beside waiting values
        self._listened += time.monotonic() - began
        n_before = -1
        while state == self._mqtt.MQTT_ERR_SUCCESS and n_before < len(self._received) < BATCH:
            n_before = len(self._received)
            state = self._client.loop(0.0)
        if state == self._mqtt.MQTT_ERR_SUCCESS:
            return
        if not self.outage:
            self._count_short()
        self._note_lost(self._refusal or "the broker does not answer")
        if self._joiner is not None:
            self._joiner.clear()
        self._unacked.clear()  # the broker repeats these messages under new numbers
        now = time.monotonic()
        if now < self._reconnect_at:
            time.sleep(TICK)
            return
        self._reconnect_at = now + _RECONNECT_SECONDS
        try:
            self._client.reconnect()
        except OSError:
            return  # the next round tries again

    def _count_short(self) -> None:
        """Note that the broker ends connections soon: it keeps one per client id."""
        is_short = time.monotonic() - self._subscribed_at < _SHORT_SECONDS
        self._n_short = self._n_short + 1 if is_short else 0
        if self._n_short == _MANY_SHORT:
            self._note(
                f"{self.name}: the broker ends each connection within seconds: does another client "
                f"have the `client_id` {self._client_id!r}?"
            )

    def _message(self, message: Any) -> list[Event | None]:
        if self._joiner is not None:
            return self._join(self._joiner, message)
        event = self._read_message(
            message.topic,
            message.payload,
            repeated=message.dup,
            only_labels=self._has_only_labels(message.topic),
        )
        name = message.topic + LABELS if isinstance(event, Labels) else message.topic
        source = self._sources.by_name.get(name)
        reached = None if source is None else source.newest
        row = None if reached is None else (name, *reached)
        self._unacked.append(_Unacked(message.mid, row))
        return [event]

    def _has_only_labels(self, topic: str) -> bool:
        rows, *labels = self._topics
        matches = self._mqtt.topic_matches_sub
        return any(matches(each, topic) for each in labels) and not matches(rows, topic)

    def _join(self, joiner: TopicJoiner, message: Any) -> list[Event | None]:
        """Add a value to the open row; it may end the row before."""
        ended = []
        if len(joiner) and not joiner.fits(message.topic):
            ended.append(self._end_row(joiner))
        row = None
        try:
            joiner.put(message.topic, message.payload)
        except SourceError as error:
            self._receiver.refuse(error)
        else:
            epoch, seq = self._sources.find(self._topic).newest or (0, -1)
            row = (self._topic, epoch, seq + 1)  # the number that the open row will get
        self._unacked.append(_Unacked(message.mid, row))
        return ended

    def _end_row(self, joiner: TopicJoiner) -> Event | None:
        self._sources.stats["messages"] += len(joiner) - 1
        row = joiner.end()
        return self._receiver.take_row(self._topic.encode(), lambda _: row)

    def _ack_durable(self) -> None:
        """Acknowledge durable messages, in the order of their arrival as MQTT demands."""
        while self._unacked and self._is_durable(self._unacked[0].row):
            self._client.ack(self._unacked.popleft().mid, 1)

    def _is_durable(self, row: tuple[str, int, int] | None) -> bool:
        if row is None:
            return True
        name, epoch, seq = row
        source = self._sources.by_name.get(name)
        if source is None:
            return True
        return any(e > epoch or (e == epoch and s >= seq) for e, s in source.durable.items())


def _check(topic: str, client_id: str, join: str | None) -> None:
    if not topic:
        raise ConfigError("`topic` must be a topic filter such as sensors/#, got an empty one")
    if not client_id:
        raise ConfigError("`client_id` must not be empty, as the broker keeps the session under it")
    if join not in {None, "topic"}:
        raise ConfigError(f"`join` must be 'topic', got {join!r}")


CONNECTORS = (
    Connector(
        "mqtt",
        MQTTSource,
        {"mqtt://127.0.0.1:1883/TOPIC": MQTTSource.guarantee},
        extra=MQTT,
    ),
)
