"""Records as points of InfluxDB."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from loco_stream._checks import checks_types
from loco_stream._numbers import is_number
from loco_stream.connectors._base.connector import Connector, with_tls
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors.sinks.http_sink import HTTPSink
from loco_stream.stream import Record

_TAG = str.maketrans({" ": r"\ ", ",": r"\,", "=": r"\=", "\n": r"\ ", "\\": "/"})
_TEXT = str.maketrans({'"': r"\"", "\\": r"\\"})
_INTEGERS = ("seq", "at", "since")
_TEXTS = ("detector", "what", "task")
_NAMES = ("id", "key")  # always texts: a field has one type


class InfluxSink(HTTPSink):
    """Writes each record as a point ``loco_KIND`` with the tag `source`.

    Numbers and short texts are the fields. A predicted number is the field `value`, any other
    prediction the text `prediction`, with its probability as `confidence`. The id of a row and the
    key of a fleet are the texts `id` and `key`. The time of a point is that of the row in
    milliseconds, plus the last six digits of its `seq` as nanoseconds: rows of the same time stay
    separate, and a repeated record is the same point.

    Parameters
    ----------
    host
        Host of the server.
    database
        Database, or with `org` the bucket of a version 2 server.
    port
        Port of the server.
    org
        Organisation on a version 2 server; the secret is then its token.
    user
        User name on a version 1 server.
    secret
        Password or token.
    tls
        Use https.
    ca, timeout
        As in `HTTPSink`.
    batch
        Number of points per post.
    options
        Those of `BufferedSink`.

    Examples
    --------
    It connects with the first record.

    >>> from loco_stream.connectors import InfluxSink
    >>> sink = InfluxSink("127.0.0.1", "factory")
    >>> sink.name
    'influx://127.0.0.1:8086/factory'
    """

    guarantee = "at least once (a repeated record is the same point, if its row has a time)"

    @checks_types
    def __init__(
        self,
        host: str,
        database: str,
        *,
        port: int = 8086,
        org: str | None = None,
        user: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        ca: str | None = None,
        timeout: Seconds = 5.0,
        batch: int = 1000,
        **options: Any,
    ) -> None:
        place = {"db": database} if org is None else {"org": org, "bucket": database}
        path = "/write" if org is None else "/api/v2/write"
        query = urlencode({**place, "precision": "ns"}, quote_via=quote)
        super().__init__(
            f"http{'s' if tls else ''}://{host}:{port}{path}?{query}",
            user=user,
            secret=secret if org is None else None,
            ca=ca,
            timeout=timeout,
            batch=batch,
            **options,
        )
        self.name = f"influx://{host}:{port}/{database}"
        if org is not None:
            self.headers = {"Authorization": f"Token {secret or ''}"}
        self._encoded: tuple[Sequence[Record], bytes] = ((), b"")

    def body(self, records: Sequence[Record]) -> tuple[str, bytes]:
        """Return the lines; records that are sent again get the same lines."""
        if self._encoded[0] is not records:
            lines = "\n".join(line(record, time.time()) for record in records)
            self._encoded = (records, lines.encode())
        return "text/plain; charset=utf-8", self._encoded[1]


def line(record: Record, now: float) -> str:
    r"""Return a point in line protocol; `now` is the time of a record whose row has none.

    Examples
    --------
    >>> line({"kind": "drift", "source": "press 3", "seq": 7, "t": 1.5, "what": "concept"}, 0.0)
    'loco_drift,source=press\\ 3 seq=7i,what="concept" 1500000007'
    """
    encoded = ((name, _encode(name, value)) for name, value in _fields(record).items())
    fields = ",".join(f"{name}={text}" for name, text in encoded if text)
    t = now if record["t"] is None else record["t"]
    nanoseconds = int(t * 1000) * 1_000_000 + record["seq"] % 1_000_000
    source = record["source"].translate(_TAG)
    tag = f",source={source}" if source else ""
    return f"loco_{record['kind']}{tag} {fields} {nanoseconds}"


def _fields(record: Record) -> Mapping[str, Any]:
    fields = {name: record[name] for name in _INTEGERS if name in record}
    fields |= record.get("status") or record.get("report") or {}
    fields |= _outcome_fields(record)
    if record["kind"] == "anomaly":
        fields |= _anomaly_fields(record)
    if record.get("proba"):
        fields["confidence"] = max(record["proba"].values())
    fields |= {name: str(record[name]) for name in _NAMES if name in record}
    return fields | {name: record[name] for name in _TEXTS if name in record}


def _outcome_fields(record: Record) -> Mapping[str, Any]:
    """Return the fields of a prediction and of its label, if the record has them."""
    fields: dict[str, Any] = {}
    for name, number_name in (("prediction", "value"), ("label", "label_value")):
        if name in record:
            fields |= _values_of(record[name], name, number_name)
    return fields


def _values_of(value: object, name: str, number_name: str) -> Mapping[str, Any]:
    """Return the fields of a prediction or label, of several targets a field each."""
    if not isinstance(value, Mapping):
        return {number_name if is_number(value) else name: value}
    names = {target: str(target).translate(_TAG) for target in value}
    return {f"{number_name}_{names[target]}": value[target] for target in value}


def _anomaly_fields(record: Record) -> Mapping[str, Any]:
    """Return scores, column, value and expected band; a text is `value_text`."""
    value = record["value"]
    name = "value_text" if isinstance(value, str) else "value"
    low, high = record["expected"] or (None, None)
    found = {key: record[key] for key in ("score", "state", "column")}
    return {**found, name: value, "expected_low": low, "expected_high": high}


def _encode(name: str, value: Any) -> str:
    """Return the text of a field value, empty if it is neither a number nor a text."""
    if isinstance(value, bool | str):
        return f'"{str(value).translate(_TEXT)}"'
    if isinstance(value, int):
        return f"{value}i" if name in _INTEGERS else f"{float(value)!r}"
    is_finite = isinstance(value, float) and value - value == 0
    return f"{value!r}" if is_finite else ""


CONNECTORS = with_tls(
    Connector(
        "influx",
        InfluxSink,
        {"influx://HOST:PORT/DATABASE": InfluxSink.guarantee},
        secret="LOCO_STREAM_INFLUX_PASSWORD",
    )
)
