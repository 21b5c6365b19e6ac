"""Rows from a topic of Kafka, or of any broker that speaks its protocol."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from loco_stream.connectors.broker import BATCH, TICK, BrokerSource, password
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.wire import MAGIC
from loco_stream.connectors.values import need, parse_cell
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event

__all__ = ["KafkaSource"]

_PATIENCE = 10.0  # seconds that the first connection may take
_ALONE = (
    "exactly-once state: rows are read on from the offsets that the checkpoint or the log holds"
)
_GROUP = (
    "exactly-once state: offsets are committed to the group once their rows are learned and durable"
)


class KafkaSource(BrokerSource):
    """Messages of one topic, from its beginning or from where the checkpoint ends.

    Needs ``loco-stream[kafka]``.

    A message is a row as a JSON or MessagePack map, or an LS1 header followed by its payload. The
    row's source is the topic; LS1 messages with a key are of the source the key names. A header
    `label` says what the body does not, and the broker's time is the event time where the body has
    none.

    Without a group, all partitions are read, each from the offset that was reached. With one, the
    broker shares them out; a partition that comes over goes on at the group's offset, or at our own
    if that is further. Rows of one partition keep their order; where a killed run reads several,
    those after its checkpoint may be interleaved in another way.

    Parameters
    ----------
    host
        A broker.
    topic
        The topic; it has to exist.
    port
        Of the broker.
    target, time
        Keys of the label, and of the event time in seconds since 1970, in flat maps.
    label
        The header that holds the label.
    group
        Read as a member of this group.
    username
        With the password in the environment variable ``LOCO_STREAM_KAFKA_PASSWORD``, or in the file
        that ``LOCO_STREAM_KAFKA_PASSWORD_FILE`` names.
    mechanism
        Of SASL, with a username: ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
    tls
        Encrypt, and check the broker's certificate against the system's authorities.
    task, idle, max, endless, limits
        As in `MQTTSource`.

    Raises
    ------
    SourceError
        No broker there, one that refuses the client, or no such topic.

    Examples
    --------
    >>> from loco_stream.connectors import open_source
    >>> open_source("kafka://127.0.0.1:9092/")
    Traceback (most recent call last):
    loco_stream.errors.SourceError: a kafka source is kafka://HOST:PORT/TOPIC, not ...
    """

    def __init__(
        self,
        host: str,
        topic: str,
        *,
        port: int = 9092,
        target: str = "y",
        time: str = "t",
        label: str = "label",
        group: str | None = None,
        username: str | None = None,
        mechanism: str = "PLAIN",
        tls: bool = False,
        task: str | None = None,
        idle: float | None = None,
        max: int | None = None,  # noqa: A002 - the option's name in the URL
        endless: bool = False,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(
            f"kafka://{host}:{port}/{topic}",
            task=task,
            target=target,
            time_key=time,
            idle=idle,
            max=max,
            endless=endless,
            limits=limits,
        )
        if group == "":
            raise ConfigError("group must not be empty: the broker keeps its offsets under it")
        self._kafka = need("confluent_kafka", "kafka", "kafka")
        self._topic = topic
        self._header = label
        self._group = group
        self.needs_log = (
            group is not None
        )  # a partition that another member takes over does not come again
        self.guarantee = _ALONE if group is None else _GROUP
        self._offsets: dict[int, int] = {}  # the next one of each partition that was read
        self._durable: dict[int, int] = {}
        self._same = True  # whether the offsets are known to be of this very topic
        self._where = f"{host}:{port}"
        self._reading = False
        login: dict[str, Any] = {"security.protocol": "SSL" if tls else "PLAINTEXT"}
        if username is not None:
            login = {
                "security.protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
                "sasl.mechanism": mechanism,
                "sasl.username": username,
                "sasl.password": password("KAFKA") or "",
            }
        self._client = self._connect(login)
        self._id = self._topic_id(login)
        self._fault: SourceError | None = None  # found while partitions were taken over

    def _connect(self, login: Mapping[str, Any]) -> Any:
        quiet = logging.getLogger("loco_stream.kafka")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = (
            False  # the client would write to standard error what it tries again anyway
        )
        settings = {
            **login,
            "bootstrap.servers": self._where,
            "group.id": self._group or "loco-stream",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 10_000,
            "error_cb": self._note,
        }
        self._error = ""
        client = None
        try:
            client = self._kafka.Consumer(settings, logger=quiet)
            found = client.list_topics(self._topic, timeout=_PATIENCE).topics[self._topic]
        except self._kafka.KafkaException as e:
            if client is not None:
                client.close()
            reason = self._error or e.args[0].str()
            raise SourceError(
                f"cannot read from the Kafka broker {self._where}: {reason}"
            ) from None
        if found.error is not None:
            client.close()
            raise SourceError(
                f"the Kafka broker {self._where} has no topic {self._topic!r}: {found.error.str()}"
            )
        self._partitions = sorted(found.partitions)
        return client

    def _topic_id(self, login: Mapping[str, Any]) -> str | None:
        """Return what tells this topic from an earlier one of its name.

        None from a broker that has no such id.
        """
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({**login, "bootstrap.servers": self._where, "log_level": 0})
        try:
            topic = self._kafka.TopicCollection([self._topic])
            told = (
                admin.describe_topics(topic, request_timeout=_PATIENCE)[self._topic]
                .result(_PATIENCE)
                .topic_id
            )
        except (self._kafka.KafkaException, TimeoutError):
            return None
        known = told is not None and (
            told.get_most_significant_bits() or told.get_least_significant_bits()
        )
        return str(told) if known else None

    def _note(self, error: Any) -> None:
        self._error = error.str()

    @property
    def position(self) -> dict[str, Any]:
        """``{"topic": ..., "id": ..., "offsets": {partition: next}, "rows": ...}``.

        What to read next, rows so far.
        """
        offsets = {str(partition): offset for partition, offset in sorted(self._offsets.items())}
        return {
            "topic": self._topic,
            "id": self._id,
            "offsets": offsets,
            "rows": self._streams.position,
        }

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go on at the offsets of `position`."""
        self._seek_rows(position, "offsets")
        try:
            self._offsets = {
                int(partition): int(offset) for partition, offset in position["offsets"].items()
            }
        except (AttributeError, TypeError, ValueError):
            raise SourceError(
                f"{self.name} resumes at {{partition: offset}}, not at {dict(position)!r}"
            ) from None
        self._same = self._id is not None and position.get("id") == self._id
        if (
            None not in (self._id, position.get("id")) and not self._same
        ):  # another topic under the same name
            self._streams.stats["restarts"] += 1
            self._offsets = {}
        self._durable = dict(self._offsets)
        if self._reading:
            self._client.unsubscribe()
            self._client.unassign()
            self._reading = False

    def ack(self, position: Mapping[str, Any]) -> None:
        """Everything up to `position` is learned and durable: tell the group."""
        reached = {int(partition): int(offset) for partition, offset in position["offsets"].items()}
        moved = {p: offset for p, offset in reached.items() if self._durable.get(p, -1) < offset}
        self._durable |= moved
        if self._group is not None and moved:
            try:
                self._client.commit(
                    offsets=[self._part(p, offset) for p, offset in moved.items()],
                    asynchronous=True,
                )
            except (
                self._kafka.KafkaException
            ) as e:  # a partition that is no longer ours: its new owner goes on
                self._note(e.args[0])

    def close(self) -> None:
        """Leave the group, and close the connections."""
        self._client.close()

    def _part(self, partition: int, offset: int) -> Any:
        return self._kafka.TopicPartition(self._topic, partition, offset)

    def _begin(self) -> None:
        self._reading = True
        if self._group is None:
            self._client.assign([self._part(p, self._begin_at(p)) for p in self._partitions])
        else:
            self._client.subscribe([self._topic], on_assign=self._on_assign)

    def _begin_at(self, partition: int) -> int:
        """Return the offset to read next, and count the messages that the broker no longer has.

        What the broker calls the end of a partition is not trusted: brokers are known that call an
        earlier place so.

        Raises
        ------
        SourceError
            The broker seems to have fewer messages than were read, and cannot tell that the topic
            is the same.
        """
        ours = self._offsets.get(partition)
        if ours is None:
            return int(self._kafka.OFFSET_BEGINNING)
        try:
            first, after = self._client.get_watermark_offsets(
                self._part(partition, 0), timeout=_PATIENCE
            )
        except self._kafka.KafkaException:
            return ours
        if ours > after and not self._same:
            raise SourceError(
                f"partition {partition} of topic {self._topic!r} ends at {after}, says the broker, and was read up to "
                f"{ours}; it does not tell whether the topic is still the same one: with a new checkpoint folder it "
                "is read from its beginning"
            )
        self._streams.count_gap(max(0, first - ours))
        self._offsets[partition] = max(int(first), ours)
        return self._offsets[partition]

    def _on_assign(self, client: Any, parts: Sequence[Any]) -> None:
        """Take partitions over: at the group's offset, or where we have read if that is further."""
        committed = client.committed(list(parts), timeout=_PATIENCE)
        for part in committed:
            ours = self._durable.get(part.partition, -1)
            self._offsets[part.partition] = max(part.offset, ours)
            if self._offsets[part.partition] < 0:
                del self._offsets[part.partition]
        try:
            client.assign(
                [self._part(part.partition, self._begin_at(part.partition)) for part in parts]
            )
        except SourceError as fault:  # which the client would not hand on
            self._fault = fault

    def _fetch(self) -> Sequence[Event | None]:
        if not self._reading:
            self._begin()
        messages = self._client.consume(BATCH, TICK)
        if self._fault is not None:
            raise self._fault
        return [self._message(message) for message in messages]

    def _message(self, message: Any) -> Event | None:
        if message.error() is not None:
            self._note(message.error())  # the client tries again by itself
            return None
        partition = message.partition()
        offset = message.offset()
        if offset < self._offsets.get(partition, 0):
            self._streams.stats["duplicates"] += 1
            return None
        self._offsets[partition] = offset + 1
        body = message.value()
        if body is None:  # a tombstone holds no row
            return None
        kind, stamp = message.timestamp()
        t = math.nan if kind == self._kafka.TIMESTAMP_NOT_AVAILABLE else stamp / 1000
        key = message.key()
        source = key.decode("utf-8", "replace") if key and body[:4] == MAGIC else self._topic
        return self._take(source, body, self._label_in(message), t)

    def _label_in(self, message: Any) -> Any:
        for name, value in message.headers() or ():
            if name == self._header and value is not None:
                return parse_cell(value.decode("utf-8", "replace"))
        return None
