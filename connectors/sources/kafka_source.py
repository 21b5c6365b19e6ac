"""Topics of Kafka, or of any broker with its protocol, as a source."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from loco_stream._checks import checks_types
from loco_stream.connectors._base.broker_source import (
    BATCH,
    CONNECT_SECONDS,
    TICK,
    BrokerSource,
)
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.extras import KAFKA, client_log, kafka_login
from loco_stream.connectors._base.secrets import password
from loco_stream.connectors._base.values import parse_cell
from loco_stream.connectors.ls1._wire import MAGIC
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Position

_ALONE = "exactly once (resumes from the offsets)"
_GROUP = "exactly once (offsets are committed when rows are learned and durable)"
# Without a word of a member for so long, the group goes on without it. The successor of a killed
# engine gets no row until then; the client's default is 45 s.
_SESSION_MS = 10_000
_PROBE_SECONDS = 1.0  # between two looks whether an outage is over
_log = logging.getLogger(__name__)

Partition: TypeAlias = tuple[str, int]  # topic and partition
Offsets: TypeAlias = dict[Partition, int]


class KafkaSource(BrokerSource):
    """Messages of a Kafka topic.

    A message is a row as JSON or MessagePack map, or an LS1 header and payload. The source name of
    the rows is the topic; for LS1 messages with a key it is the key. The broker's timestamp is the
    event time of rows without one.

    Without a group, all partitions are read, from their beginning or from the checkpoint on. With a
    group, the broker assigns partitions to its members; a newly assigned partition continues at the
    group's offset, or at that of this engine if it is further. A member that was killed keeps its
    partitions for up to 10 s, after which the others, or its successor, get them. The order of rows
    is kept within a partition.

    Parameters
    ----------
    host
        Host of a broker.
    topic
        The topic, which has to exist.
    port
        Port of the broker.
    labels
        Topic of labels that come later, as ``{"id": 7, "label": "ok"}``; it has to exist, and other
        fields are ignored. Messages with an id and a label alone are also taken in `topic`.
    label
        Message header with the label, for bodies without one.
    group
        Consumer group to read in.
    partition
        Number of the only partition to read; None reads all. Excludes `group`, whose members get
        their partitions from the broker.
    username
        Login name. The password is read from the environment variable
        ``LOCO_STREAM_KAFKA_PASSWORD``, or from the file that ``LOCO_STREAM_KAFKA_PASSWORD_FILE``
        names.
    mechanism
        SASL mechanism for the login: ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
    tls
        Encrypt the connection, and verify the broker's certificate.
    options
        Fields and bounds as in any source of messages.

    Raises
    ------
    SourceError
        The broker cannot be reached or refuses the client, there is no such topic, or the library
        is not installed.

    Examples
    --------
    >>> from loco_stream.connectors import open_source
    >>> open_source("kafka://127.0.0.1:9092/")
    Traceback (most recent call last):
    loco_stream.errors.ConfigError: the URL must be kafka://127.0.0.1:9092/TOPIC, got ...
    """

    @checks_types
    def __init__(
        self,
        host: str,
        topic: str,
        *,
        port: int = 9092,
        labels: str | None = None,
        label: str = "label",
        group: str | None = None,
        partition: int | None = None,
        username: str | None = None,
        mechanism: str = "PLAIN",
        tls: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(f"kafka://{host}:{port}/{topic}", **options)
        if group == "":
            raise ConfigError("`group` must not be empty")
        if group is not None and partition is not None:
            raise ConfigError(
                "only one of `partition` and `group` must be given, as the broker assigns the "
                f"partitions of a group, got {partition} and {group!r}"
            )
        self._kafka = KAFKA.load()
        self._topic = topic
        self._only = partition
        self._topics = [topic] if labels is None else [topic, labels]
        if labels is not None:
            self._name_labels(f"the topic {labels}")
        self._label_header = label
        self._group = group
        self.needs_log = group is not None  # another member may take a partition over
        self.guarantee = _ALONE if group is None else _GROUP
        self._offsets: Offsets = {}  # next offset of each partition that was read
        self._durable: Offsets = {}
        self._is_same_topic = True  # whether the offsets are known to be of this very topic
        self._is_reading = False
        self._error = ""  # most recent sentence of the client
        self._probe_at = 0.0
        self._assign_error: SourceError | None = None
        secret = None if username is None else password("KAFKA")
        account = kafka_login(username, secret, mechanism, tls)
        login = {"bootstrap.servers": f"{host}:{port}", **account}
        self._where = f"{host}:{port}"
        self._client = self._connect(login)
        self._topic_id = self._find_topic_id(login)

    def _connect(self, login: Mapping[str, object]) -> Any:
        settings = {
            **login,
            "group.id": self._group or "loco-stream",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 10_000,
            "session.timeout.ms": _SESSION_MS,
            "error_cb": self._note,
        }
        try:
            client = self._kafka.Consumer(settings, logger=client_log(__name__))
            try:
                self._partitions = self._find_partitions(client)
            except BaseException:
                client.close()
                raise
        except self._kafka.KafkaException as e:
            reason = self._error or e.args[0].str()
            raise SourceError(
                f"cannot read from the Kafka broker {self._where}: {reason}"
            ) from None
        return client

    def _find_partitions(self, client: Any) -> list[Partition]:
        """Return the partitions to read; raises `SourceError` for a topic without them."""
        found = {}
        for name in self._topics:
            topic = client.list_topics(name, timeout=CONNECT_SECONDS).topics[name]
            if topic.error is not None:
                raise SourceError(
                    f"the Kafka broker {self._where} has no topic {name!r}: {topic.error.str()}"
                )
            found[name] = sorted(topic.partitions)
        if self._only is not None:
            if self._only not in found[self._topic]:
                raise SourceError(
                    f"topic {self._topic!r} has no partition {self._only}; it has "
                    f"{len(found[self._topic])}"
                )
            found[self._topic] = [self._only]
        return [(name, partition) for name in found for partition in found[name]]

    def _find_topic_id(self, login: Mapping[str, str | int]) -> str | None:
        """Return the id that differs between topics of one name; None without one."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({**login, "log_level": 0})
        try:
            topics = self._kafka.TopicCollection([self._topic])
            described = admin.describe_topics(topics, request_timeout=CONNECT_SECONDS)
            topic_id = described[self._topic].result(CONNECT_SECONDS).topic_id
        except (self._kafka.KafkaException, TimeoutError):
            return None
        bits = topic_id is not None and (
            topic_id.get_most_significant_bits() or topic_id.get_least_significant_bits()
        )
        return str(topic_id) if bits else None

    def _note(self, error: Any) -> None:
        """Keep an error of the client, which tries again by itself."""
        is_down = error.code() == self._kafka.KafkaError._ALL_BROKERS_DOWN
        if is_down and self._is_reading:
            self._note_lost(self._error or error.str())
            return
        self._error = error.str()
        _log.debug("Kafka broker %s: %s", self._where, self._error)  # several times per second

    def _probe(self) -> None:
        """Find out whether an outage is over: the client does not report it."""
        now = time.monotonic()
        if now < self._probe_at:
            return
        self._probe_at = now + _PROBE_SECONDS
        with suppress(self._kafka.KafkaException):
            self._client.list_topics(self._topic, timeout=TICK)
            self._note_back()

    @property
    def position(self) -> Position:
        """``{"topic": ..., "id": ..., "offsets": {partition: next}, "rows": ...}``."""
        of: dict[str, dict[str, int]] = {name: {} for name in self._topics}
        for (name, partition), offset in sorted(self._offsets.items()):
            of[name][str(partition)] = offset
        position = {
            "topic": self._topic,
            "id": self._topic_id,
            "offsets": of[self._topic],
            "rows": self._sources.position,
        }
        if len(of) > 1:
            position["label_offsets"] = of[self._topics[1]]
        return position

    def seek(self, position: Position) -> None:
        """Continue at the offsets of `position`, unless they are of another topic."""
        self._seek_rows(position, "offsets")
        self._offsets = self._parse_offsets(position)
        topic_id = position.get("id")
        self._is_same_topic = self._topic_id is not None and topic_id == self._topic_id
        if None not in (self._topic_id, topic_id) and not self._is_same_topic:
            self._sources.stats["restarts"] += 1
            self._offsets = {}
        self._durable = dict(self._offsets)
        if self._is_reading:
            self._client.unsubscribe()
            self._client.unassign()
            self._is_reading = False

    def _parse_offsets(self, position: Position) -> Offsets:
        parts = zip(self._topics, ("offsets", "label_offsets"), strict=False)
        try:
            return {
                (name, int(p)): int(offset)
                for name, part in parts
                for p, offset in position.get(part, {}).items()
            }
        except (AttributeError, TypeError, ValueError):
            raise SourceError(
                f"`position` of {self.name} must hold {{partition: offset}} under 'offsets', "
                f"got {dict(position)!r}"
            ) from None

    def ack(self, position: Position) -> None:
        """Commit the offsets of `position` to the group."""
        reached = self._parse_offsets(position)
        moved = {p: offset for p, offset in reached.items() if self._durable.get(p, -1) < offset}
        self._durable |= moved
        if self._group is None or not moved:
            return
        offsets = [self._part(p, offset) for p, offset in moved.items()]
        try:
            self._client.commit(offsets=offsets, asynchronous=True)
        except self._kafka.KafkaException as e:
            self._note(e.args[0])  # a partition of another member by now, which continues it

    def close(self) -> None:
        """Leave the group, and close the connections."""
        self._client.close()

    def _part(self, part: Partition, offset: int) -> Any:
        return self._kafka.TopicPartition(*part, offset)

    def _start(self) -> None:
        self._is_reading = True
        if self._group is None:
            self._client.assign([self._part(p, self._start_offset(p)) for p in self._partitions])
        else:
            self._client.subscribe(self._topics, on_assign=self._on_assign)

    def _start_offset(self, partition: Partition) -> int:
        """Return the offset to read next; messages that the broker no longer has are counted.

        Raises
        ------
        SourceError
            The broker seems to have fewer messages than were read, and does not report whether the
            topic is the same.
        """
        ours = self._offsets.get(partition)
        if ours is None:
            return int(self._kafka.OFFSET_BEGINNING)
        try:
            first, end = self._client.get_watermark_offsets(
                self._part(partition, 0), timeout=CONNECT_SECONDS
            )
        except self._kafka.KafkaException:  # the broker does not answer
            return ours
        # `end` alone is no proof: some brokers report a smaller one for a while.
        if ours > end and not self._is_same_topic:
            raise SourceError(
                f"partition {partition[1]} of topic {partition[0]!r} ends at {end} according to "
                f"the broker, and was read up to {ours}. The broker does not report whether the "
                "topic is the same: with a new checkpoint folder it is read from its beginning"
            )
        self._sources.count_gap(max(0, first - ours))
        self._offsets[partition] = max(int(first), ours)
        return self._offsets[partition]

    def _on_assign(self, client: Any, parts: Sequence[Any]) -> None:
        """Start assigned partitions at the group's offset, or at ours if it is further."""
        for part in client.committed(list(parts), timeout=CONNECT_SECONDS):
            ours = (part.topic, part.partition)
            offset = max(part.offset, self._durable.get(ours, -1))
            if offset >= 0:
                self._offsets[ours] = offset
            else:
                self._offsets.pop(ours, None)
        numbers = [(part.topic, part.partition) for part in parts]
        try:
            client.assign([self._part(p, self._start_offset(p)) for p in numbers])
        except SourceError as error:  # raised by `_fetch`, as the client would drop it
            self._assign_error = error

    def _fetch(self) -> Sequence[Event | None]:
        if not self._is_reading:
            self._start()
        messages = self._client.consume(BATCH, TICK)
        if self.outage:
            self._probe()
        if self._assign_error is not None:
            raise self._assign_error
        return [self._message(message) for message in messages]

    def _message(self, message: Any) -> Event | None:
        if message.error() is not None:
            self._note(message.error())
            return None
        topic = message.topic()
        partition = (topic, message.partition())
        offset = message.offset()
        if offset < self._offsets.get(partition, 0):
            self._sources.stats["duplicates"] += 1
            return None
        self._offsets[partition] = offset + 1
        body = message.value()
        if body is None:  # a tombstone
            return None
        key = message.key()
        has_name = key and body[:4] == MAGIC
        source = key.decode("utf-8", "replace") if has_name else topic
        entry = f"{message.partition()}:{offset}"
        kind, milliseconds = message.timestamp()
        t = math.nan if kind == self._kafka.TIMESTAMP_NOT_AVAILABLE else milliseconds / 1000
        only_labels = topic != self._topics[0]
        label = self._label_of(message)
        return self._read_message(source, body, label, t, entry=entry, only_labels=only_labels)

    def _label_of(self, message: Any) -> Any:
        for name, value in message.headers() or ():
            if name == self._label_header and value is not None:
                return parse_cell(value.decode("utf-8", "replace"))
        return None


CONNECTORS = (
    Connector(
        "kafka",
        KafkaSource,
        {
            "kafka://127.0.0.1:9092/TOPIC": _ALONE,
            "kafka://127.0.0.1:9092/TOPIC?group=NAME": _GROUP,
        },
        extra=KAFKA,
    ),
)
