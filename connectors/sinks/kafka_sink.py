"""Records into a Kafka topic, or one of any broker with its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loco_stream._checks import checks_types
from loco_stream.connectors._base.buffered_sink import AT_LEAST_ONCE, BufferedSink, encode
from loco_stream.connectors._base.checks import check_positive
from loco_stream.connectors._base.connector import Connector, with_tls
from loco_stream.connectors._base.extras import KAFKA, client_log, kafka_login
from loco_stream.connectors._base.options import Seconds
from loco_stream.stream import Record


class KafkaSink(BufferedSink):
    """Produces each record as JSON.

    The key is the source of the record, the header ``kind`` its kind. A batch is sent when the
    broker has acknowledged every record of it.

    Parameters
    ----------
    host
        Host of a broker.
    topic
        The topic.
    port
        Port of the broker.
    user, secret
        Login by SASL/PLAIN.
    tls
        Encrypt the connection, and verify the broker's certificate.
    ca
        As in `HTTPSink`.
    timeout
        Time for the acknowledgement of a batch.
    batch
        As in `BufferedSink`.
    options
        Those of `BufferedSink`.

    Raises
    ------
    SourceError
        The library is not installed.

    Examples
    --------
    It connects with the first record.

    >>> from loco_stream.connectors import KafkaSink
    >>> sink = KafkaSink("127.0.0.1", "records")
    >>> sink.name
    'kafka://127.0.0.1:9092/records'
    """

    @checks_types
    def __init__(
        self,
        host: str,
        topic: str,
        *,
        port: int = 9092,
        user: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        ca: str | None = None,
        timeout: Seconds = 5.0,
        batch: int = 1000,
        **options: Any,
    ) -> None:
        check_positive(timeout=timeout)
        super().__init__(f"kafka://{host}:{port}/{topic}", batch=batch, **options)
        self._kafka = KAFKA.load()
        self.errors = (OSError, self._kafka.KafkaException, BufferError)
        self._topic = topic
        self._timeout = timeout
        self._settings = {
            "bootstrap.servers": f"{host}:{port}",
            "acks": "all",
            "linger.ms": 0,
            "log_level": 0,
            "message.timeout.ms": int(timeout * 1000),
            **kafka_login(user, secret, "PLAIN", tls),
        }
        if ca is not None:
            self._settings["ssl.ca.location"] = ca
        self._producer: Any = None

    def send(self, records: Sequence[Record]) -> None:
        """Produce records, and wait for the acknowledgements."""
        if self._producer is None:
            self._producer = self._kafka.Producer(self._settings, logger=client_log(__name__))
        errors: list[Any] = []

        def on_delivery(error: Any, _message: Any) -> None:
            if error is not None:
                errors.append(error)

        for record in records:
            self._producer.produce(
                self._topic,
                encode(record),
                key=record["source"].encode(),
                headers=[("kind", record["kind"].encode())],
                on_delivery=on_delivery,
            )
        n_left = self._producer.flush(self._timeout + 1.0)
        if n_left or errors:
            raise OSError(
                f"{self.name}: {n_left + len(errors)} of {len(records)} records were not "
                f"acknowledged: {[*errors, ''][0]}"
            )

    def disconnect(self) -> None:
        """Close the producer and discard its buffer.

        The sink still holds these records and sends them again.
        """
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None


CONNECTORS = with_tls(
    Connector(
        "kafka",
        KafkaSink,
        {"kafka://HOST:PORT/TOPIC": AT_LEAST_ONCE},
        extra=KAFKA,
        secret="LOCO_STREAM_KAFKA_PASSWORD",
    )
)
