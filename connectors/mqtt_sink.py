"""Records to an MQTT broker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from loco_stream.connectors.outlet import Outlet, encode
from loco_stream.connectors.values import host_port, need
from loco_stream.records import Record

__all__ = ["MQTTRecords"]

_RETAINED = frozenset(
    {"status", "report"}
)  # who comes later wants to know the state, and no old events


class MQTTRecords(Outlet):
    """Publishes each record as JSON to ``TOPIC/KIND`` with QoS 1; status and report are retained.

    Needs ``loco-stream[mqtt]``.

    Parameters
    ----------
    where
        ``//HOST:PORT/TOPIC``.
    user, secret
        Of the broker.
    tls, ca
        Encrypt, and check the certificate against the system's authorities or those in the file
        `ca`.
    timeout
        Seconds for the connection and for the acknowledgements of a batch.
    options
        Those of `Outlet`.

    Raises
    ------
    SourceError
        The library paho-mqtt is missing.
    """

    guarantee = "at least once to the broker, with QoS 1; source and seq tell repeats"

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
        self._host, self._port, self._topic = host_port(
            where, 8883 if tls else 1883, "mqtt://HOST:PORT/TOPIC"
        )
        super().__init__(f"mqtt://{self._host}:{self._port}/{self._topic}", **options)
        self._mqtt = need("paho.mqtt.client", "mqtt", "mqtt")
        self.errors = (
            OSError,
            ValueError,
            RuntimeError,
        )  # paho raises the latter two when it is not connected
        self._user = user
        self._secret = secret
        self._tls = tls
        self._ca = ca
        self._timeout = timeout
        self._client: Any = None

    def send(self, records: Sequence[Record]) -> None:
        """Publish, and wait for the acknowledgements."""
        if self._client is None:
            self._client = self._connect()
        deadline = time.monotonic() + self._timeout
        told = [
            self._client.publish(
                f"{self._topic}/{record['kind']}", encode(record), 1, record["kind"] in _RETAINED
            )
            for record in records
        ]
        for info in told:
            info.wait_for_publish(max(0.001, deadline - time.monotonic()))
            if not info.is_published():
                raise OSError(f"{self.name} did not acknowledge within {self._timeout:g} s")

    def disconnect(self) -> None:
        """Leave the broker."""
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
        refusals: list[Any] = []
        client.on_connect = lambda _c, _d, _f, reason, _p: refusals.append(reason)
        client.connect(self._host, self._port, keepalive=30)
        client.loop_start()
        deadline = time.monotonic() + self._timeout
        while not refusals and time.monotonic() < deadline:
            time.sleep(0.002)
        if not client.is_connected():
            client.loop_stop()
            raise OSError(f"{self.name} refuses the client: {[*refusals, 'no answer'][0]}")
        return client
