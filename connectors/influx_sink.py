"""Records as points of InfluxDB, in its line protocol."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from loco_stream.connectors.http_sink import HTTPRecords
from loco_stream.connectors.values import host_port
from loco_stream.records import Record

__all__ = ["InfluxRecords", "line"]

_TAG = str.maketrans({" ": r"\ ", ",": r"\,", "=": r"\=", "\n": r"\ ", "\\": "/"})
_TEXT = str.maketrans({'"': r"\"", "\\": r"\\"})


class InfluxRecords(HTTPRecords):
    """Writes each record as a point ``loco_KIND`` with the tag `source`.

    Numbers and short texts are its fields.

    A number that is predicted is the field `value`, any other prediction the text `prediction`,
    with its probability as `confidence`. The time of a point is that of the row to the millisecond,
    then the last six digits of its `seq` as nanoseconds: rows of one moment stay apart, and one
    that is written twice is one point.

    Parameters
    ----------
    where
        ``//HOST:PORT/DATABASE``; with `org`, the bucket of a version 2 server.
    org
        Organisation on a version 2 server; the secret is then its token.
    user, secret
        Of a version 1 server.
    tls
        Use https.
    options
        Those of `HTTPRecords`.

    Raises
    ------
    ConfigError
        The place has no database.
    """

    guarantee = "at least once, and a repeated record is the same point, where its row has a time"

    def __init__(
        self,
        where: str,
        *,
        org: str | None = None,
        user: str | None = None,
        secret: str | None = None,
        tls: bool = False,
        **options: Any,
    ) -> None:
        host, port, database = host_port(where, 8086, "influx://HOST:PORT/DATABASE")
        place = {"db": database} if org is None else {"org": org, "bucket": database}
        path = "/write" if org is None else "/api/v2/write"
        url = f"http{'s' if tls else ''}://{host}:{port}{path}?{urlencode({**place, 'precision': 'ns'}, quote_via=quote)}"
        super().__init__(
            url, user=user, secret=secret if org is None else None, **{"batch": 1000, **options}
        )
        self.name = f"influx://{host}:{port}/{database}"
        if org is not None:
            self.headers = {"Authorization": f"Token {secret or ''}"}
        self._written: tuple[Sequence[Record], bytes] = ((), b"")

    def body(self, records: Sequence[Record]) -> tuple[str, bytes]:
        """Return the lines; the same ones for records that are sent again."""
        if self._written[0] is not records:
            self._written = (
                records,
                "\n".join(line(record, time.time()) for record in records).encode(),
            )
        return "text/plain; charset=utf-8", self._written[1]


def line(record: Record, now: float) -> str:
    r"""Return a point in line protocol; `now` is the time of a record whose row has none.

    Examples
    --------
    >>> line({"kind": "drift", "source": "press 3", "seq": 7, "t": 1.5, "at": 7, "what": "concept"}, 0.0)
    'loco_drift,source=press\\ 3 seq=7i,at=7i,what="concept" 1500000007'
    """
    fields = {
        "seq": record["seq"],
        **{name: value for name, value in record.items() if name in ("at", "since")},
    }
    fields |= record.get("status") or record.get("report") or {}
    for name, number in (("prediction", "value"), ("label", "label_value")):
        if name in record:
            value = record[name]
            fields[
                number if isinstance(value, int | float) and not isinstance(value, bool) else name
            ] = value
    if record.get("proba"):
        fields["confidence"] = max(record["proba"].values())
    fields |= {name: record[name] for name in ("detector", "what", "task") if name in record}
    written = [f"{name}={text}" for name, value in fields.items() if (text := _field(name, value))]
    stamp = (
        int((now if record["t"] is None else record["t"]) * 1000) * 1_000_000
        + record["seq"] % 1_000_000
    )
    source = record["source"].translate(_TAG)
    return (
        f"loco_{record['kind']}{f',source={source}' if source else ''} {','.join(written)} {stamp}"
    )


def _field(name: str, value: Any) -> str:
    """Return a field's value; nothing for what is no number and no text."""
    if isinstance(value, bool | str):
        return f'"{str(value).translate(_TEXT)}"'
    if isinstance(value, int):
        return f"{value}i" if name in ("seq", "at", "since") else f"{float(value)!r}"
    return f"{value!r}" if isinstance(value, float) and value - value == 0 else ""
