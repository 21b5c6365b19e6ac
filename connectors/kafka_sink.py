"""Records into a topic of Kafka, or of any broker that speaks its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loco_stream.connectors.outlet import Outlet, encode
from loco_stream.connectors.values import host_port, need
from loco_stream.records import Record

__all__ = ["KafkaRecords"]


class KafkaRecords(Outlet):
    """Produces each record as JSON, its source as the key, its kind as the header ``kind``.

    A batch counts as sent when the broker has acknowledged every record of it. Needs
    ``loco-stream[kafka]``.

    Parameters
    ----------
    where
        ``//HOST:PORT/TOPIC``.
    user, secret
        For SASL/PLAIN, over TLS.
    ca
        File of certificates to trust instead of the system's.
    timeout
        Seconds for the acknowledgement of a batch.
    options
        Those of `Outlet`.

    Raises
    ------
    SourceError
        The library confluent-kafka is missing.
    """

    def __init__(
        self,
        where: str,
        *,
        user: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        ca: str | None = None,
        timeout: float = 5.0,
        **options: Any,
    ) -> None:
        host, port, self._topic = host_port(where, 9092, "kafka://HOST:PORT/TOPIC")
        super().__init__(f"kafka://{host}:{port}/{self._topic}", **{"batch": 1000, **options})
        self._kafka = need("confluent_kafka", "kafka", "kafka")
        self.errors = (OSError, self._kafka.KafkaException, BufferError)
        self._timeout = timeout
        guard = {"security.protocol": "ssl"} if tls else {}
        if user is not None:
            guard = {
                "security.protocol": "sasl_ssl" if tls else "sasl_plaintext",
                "sasl.mechanism": "PLAIN",
            }
            guard |= {"sasl.username": user, "sasl.password": secret or ""}
        if ca is not None:
            guard |= {"ssl.ca.location": ca}
        self._config = {
            "bootstrap.servers": f"{host}:{port}",
            "acks": "all",
            "linger.ms": 0,
            "log_level": 0,
            "message.timeout.ms": int(timeout * 1000),
            **guard,
        }
        self._producer: Any = None

    def send(self, records: Sequence[Record]) -> None:
        """Produce, and wait for the acknowledgements."""
        if self._producer is None:
            self._producer = self._kafka.Producer(self._config, logger=_Silent())
        failed: list[Any] = []

        def told(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append(error)

        for record in records:
            headers = [("kind", record["kind"].encode())]
            self._producer.produce(
                self._topic,
                encode(record),
                key=record["source"].encode(),
                headers=headers,
                on_delivery=told,
            )
        left = self._producer.flush(self._timeout + 1.0)
        if left or failed:
            raise OSError(
                f"{self.name}: {left + len(failed)} of {len(records)} not acknowledged: {[*failed, ''][0]}"
            )

    def disconnect(self) -> None:
        """Let go of the producer with what it holds: all of it is sent again."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0)
            self._producer = None


class _Silent:
    """A logger that says nothing: what fails is told by the sink."""

    def log(self, *_: object) -> None:
        """Say nothing."""
