"""Records to an MQTT broker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from loco_stream._checks import checks_types
from loco_stream.connectors._base.buffered_sink import BufferedSink, encode
from loco_stream.connectors._base.checks import check_positive
from loco_stream.connectors._base.connector import Connector, with_tls
from loco_stream.connectors._base.extras import MQTT
from loco_stream.connectors._base.options import Seconds
from loco_stream.stream import Record

_RETAINED = frozenset({"status", "report"})  # a late subscriber needs the state, not old events


class MQTTSink(BufferedSink):
    """Publishes each record as JSON to ``TOPIC/KIND`` with QoS 1.

    Records of the kinds status and report are retained.

    Parameters
    ----------
    host
        Host of the broker.
    topic
        First part of the topics.
    port
        Port of the broker. By default 1883, or 8883 with `tls`.
    user, secret
        Login at the broker.
    tls
        Encrypt the connection, and verify the broker's certificate.
    ca
        As in `HTTPSink`.
    timeout
        Time for the connection, and for the acknowledgements of a batch.
    options
        Those of `BufferedSink`.

    Raises
    ------
    SourceError
        The library is not installed.

    Examples
    --------
    It connects with the first record.

    >>> from loco_stream.connectors import MQTTSink
    >>> sink = MQTTSink("127.0.0.1", "press/3", only="drift")
    >>> sink.name
    'mqtt://127.0.0.1:1883/press/3'
    """

    guarantee = "at least once to the broker (a receiver drops repeats by source and seq)"

    @checks_types
    def __init__(
        self,
        host: str,
        topic: str,
        *,
        port: int | None = None,
        user: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        ca: str | None = None,
        timeout: Seconds = 5.0,
        **options: Any,
    ) -> None:
        port = port or (8883 if tls else 1883)
        check_positive(timeout=timeout)
        super().__init__(f"mqtt://{host}:{port}/{topic}", **options)
        self._mqtt = MQTT.load()
        # paho raises the latter two when it is not connected.
        self.errors = (OSError, ValueError, RuntimeError)
        self._host = host
        self._port = port
        self._topic = topic
        self._user = user
        self._secret = secret
        self._tls = tls
        self._ca = ca
        self._timeout = timeout
        self._client: Any = None

    def send(self, records: Sequence[Record]) -> None:
        """Publish records, and wait for the acknowledgements."""
        if self._client is None:
            self._client = self._connect()
        deadline = time.monotonic() + self._timeout
        published = [
            self._client.publish(
                f"{self._topic}/{record['kind']}",
                encode(record),
                qos=1,
                retain=record["kind"] in _RETAINED,
            )
            for record in records
        ]
        for info in published:
            info.wait_for_publish(max(0.001, deadline - time.monotonic()))
            if not info.is_published():
                raise OSError(f"{self.name} did not acknowledge within {self._timeout:g} s")

    def disconnect(self) -> None:
        """Disconnect from the broker."""
        if self._client is not None:
            client = self._client
            self._client = None
            client.disconnect()
            client.loop_stop()

    def _connect(self) -> Any:
        client = self._mqtt.Client(self._mqtt.CallbackAPIVersion.VERSION2)
        if self._user is not None:
            client.username_pw_set(self._user, self._secret)
        if self._tls:
            client.tls_set(self._ca)
        reasons: list[Any] = []
        client.on_connect = lambda _c, _d, _f, reason, _p: reasons.append(reason)
        client.connect(self._host, self._port, keepalive=30)
        client.loop_start()
        deadline = time.monotonic() + self._timeout
        while not reasons and time.monotonic() < deadline:
            time.sleep(0.002)
        if not client.is_connected():
            client.loop_stop()
            raise OSError(f"{self.name} refuses the client: {[*reasons, 'no answer'][0]}")
        return client


CONNECTORS = with_tls(
    Connector(
        "mqtt",
        MQTTSink,
        {"mqtt://HOST:PORT/TOPIC": MQTTSink.guarantee},
        extra=MQTT,
        secret="LOCO_STREAM_MQTT_PASSWORD",
    )
)
