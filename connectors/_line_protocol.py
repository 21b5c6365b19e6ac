"""Rows in the line protocol of InfluxDB, which Telegraf and all clients of InfluxDB write.

Tags and fields become columns, and the measurement is the column ``measurement``. The timestamp is
the event time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loco_stream.connectors._base.connector import Extra
from loco_stream.connectors._base.fields import DEFAULT_FIELDS, FieldRoles
from loco_stream.errors import SourceError

EXTRA = Extra("influx", "line-protocol-parser>=2.0", "line_protocol_parser")

# Seconds per unit, by the names of versions 1 and 2 of the API.
_UNITS = {
    "ns": 1e-9,
    "n": 1e-9,
    "us": 1e-6,
    "u": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line: features, label (None if unknown), event time (NaN if it has none) and id."""

    x: Mapping[str, Any]
    y: Any
    t: float
    id: Any
    extra: dict[str, Any] | None = None


class LineReader:
    """Reads rows, each with the roles that its columns have.

    A row without a column for its id has its series and timestamp as id: they name a point in
    InfluxDB too, so that a line that is sent again is recognised.

    Parameters
    ----------
    fields
        Roles of the columns.

    Raises
    ------
    SourceError
        The library is not installed.

    Examples
    --------
    >>> reader = LineReader(FieldRoles(target="state"))
    >>> (row,) = reader.read(b'press,site=a speed=0.4,state="ok" 1700000000', "s")
    >>> row.x, row.y, row.t
    ({'measurement': 'press', 'site': 'a', 'speed': 0.4}, 'ok', 1700000000.0)
    >>> row.id
    'press,site=a 1700000000'
    """

    def __init__(self, fields: FieldRoles = DEFAULT_FIELDS) -> None:
        self._fields = fields
        EXTRA.load()

    def read(self, body: bytes, precision: str = "ns") -> list[LineRow]:
        """Return the rows in a body.

        Parameters
        ----------
        body
            Lines in UTF-8; empty lines and comments are skipped.
        precision
            Unit of the timestamps: ``ns``, ``us``, ``ms``, ``s``, ``m`` or ``h``.

        Raises
        ------
        SourceError
            A line is malformed, or the unit is unknown.
        """
        if precision not in _UNITS:
            raise SourceError(f"`precision` must be one of {', '.join(_UNITS)}, got {precision!r}")
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise SourceError(f"the body must be UTF-8: {error}") from None
        lines = enumerate(logical_lines(text.split("\n")), 1)
        return [self._row(n, line, _UNITS[precision]) for n, line in lines if is_data(line)]

    def _row(self, number: int, line: str, unit: float) -> LineRow:
        try:
            point = parse_line(line)
        except SourceError as error:
            raise SourceError(f"line {number}: {error}") from None
        values = point["values"]
        roles = self._fields
        stamp = point["time"]
        row_id = values.get(roles.id) if roles.id else None
        if roles.id is None and stamp is not None:
            row_id = f"{point['series']} {stamp}"
        extra = {"keep": roles.kept(values)} if roles.keep else None
        t = math.nan if stamp is None else stamp * unit
        return LineRow(roles.features(values), roles.label(values), t, row_id, extra)


def parse_line(line: str) -> dict[str, Any]:
    """Return measurement, tags and fields of a line as `values`, its `series` and its `time`.

    Raises
    ------
    SourceError
        The line is malformed.
    """
    library = EXTRA.load()
    try:
        point = library.parse_line(line)
    except (library.LineFormatError, ValueError, TypeError, OverflowError) as error:
        raise SourceError(f"invalid line protocol ({error}): {line[:60]!r}") from None
    tags = point["tags"] or {}
    names = ",".join(f"{name}={value}" for name, value in sorted(tags.items()))
    series = ",".join(filter(None, (point["measurement"], names)))
    values = {"measurement": point["measurement"], **tags, **point["fields"]}
    return {"values": values, "series": series, "time": point.get("time")}


def is_data(line: str) -> bool:
    """Whether a line is neither empty nor a comment."""
    return bool(line.strip()) and not line.lstrip().startswith("#")


def logical_lines(lines: list[str]) -> Iterator[str]:
    """Join lines within a quoted text, which may contain line ends."""
    whole = ""
    for line in lines:
        whole = f"{whole}\n{line}" if whole else line
        if _n_quotes(whole) % 2 == 0 or whole.lstrip().startswith("#"):
            yield whole
            whole = ""
    if whole:
        yield whole


def _n_quotes(text: str) -> int:
    return text.replace("\\\\", "").replace('\\"', "").count('"')
