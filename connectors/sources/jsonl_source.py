"""JSON lines in files, pipes and growing files as a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from loco_stream._checks import checks_types
from loco_stream._decoding import fault, values_in
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.lines import Lines
from loco_stream.connectors._base.numbered_source import NumberedSource
from loco_stream.connectors._base.table_source import check_speed
from loco_stream.connectors._base.tail_reader import (
    FOLLOW_GUARANTEE,
    PIPE_GUARANTEE,
    Numbered,
    Record,
)
from loco_stream.connectors._base.text_source import TextSource

_Value = float | int | bool | str | None


class _LineRow(msgspec.Struct):
    """A line of the form that JSON messages have."""

    x: dict[str, _Value]
    y: _Value | dict[str, float | int | None] = None
    t: float | str | None = None  # a text is an ISO 8601 date
    id: int | float | str | None = None


class _LineLabel(msgspec.Struct):
    id: int | float | str
    label: _Value | dict[str, float | int | None]


_FLAT = msgspec.json.Decoder(dict[str, _Value])
_ROW = msgspec.json.Decoder(_LineRow)
_LABEL = msgspec.json.Decoder(_LineLabel)


class JSONLSource(TextSource):
    r"""Rows of a file with one JSON object per line, plain or gzip.

    Rows may have different keys. A line with nothing but an id and a label,
    ``{"id": 7, "label": "ok"}``, is the label of an earlier row, or of one to come.

    Parameters
    ----------
    path
        The file, in UTF-8; ``-`` is standard input. A pipe or FIFO is read once, as its rows
        arrive.
    target
        Key of the label; ``a,b`` names several targets. An empty name reads rows without labels.
        Not needed for lines of the form ``{"x": {...}, "y": label, "t": time}``, whose time is in
        seconds since 1970, an ISO 8601 date or null.
    drop, use, id, keep, task, time, sequence, rate, speed, on_bad, follow, idle
        As in `CSVSource`.

    Raises
    ------
    SourceError
        The file is missing or empty, or the first 1000 rows lack a named key; while reading: a
        line that is not a flat JSON object.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from loco_stream.connectors import JSONLSource
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rows.jsonl"
    >>> _ = path.write_text('{"a": 1, "y": "on"}\n{"b": null, "y": "off"}\n')
    >>> [(s.x, s.y) for s in JSONLSource(path, target="y")]
    [({'a': 1}, 'on'), ({'b': None}, 'off')]
    """

    _fixed_columns = False
    _has_labels = True
    _needs_time = False  # a message has its own

    @checks_types
    def __init__(self, path: str | Path, target: str | None = None, **options: Any) -> None:
        # Whether lines have the form of JSON messages; None until the first one is read.
        self._has_messages: bool | None = False if target else None
        self._has_ids = False  # whether a message so far has an id
        super().__init__("jsonl", path, "utf-8-sig", target, **options)
        if self._tail is None:
            self._set_columns_from(self._peek("line with a JSON object, got none"))
        check_speed(self._roles.time, self._pace.speed)

    def _set_columns_from(self, records: Sequence[Record]) -> None:
        if self._has_messages:
            row_id = "id" if self._has_ids else self._roles.id
            self._roles = replace(self._roles, target="y", time="t", id=row_id)
            self._fields = self._roles.fields
        super()._set_columns_from(records)

    def _parse(self, lines: Lines, bad: BadRows) -> Numbered:
        number = 0
        while line := lines.read():
            number += 1
            lines.use(line)
            if line.strip() and (record := self._decode(line, number, bad)) is not None:
                yield number, record

    def _decode(self, line: str, number: int, bad: BadRows) -> dict[str, Any] | None:
        where = f"line {number} of {self._where}"
        try:
            if self._has_messages is None:
                record = msgspec.json.decode(line)
                if isinstance(record, dict):
                    self._has_messages = isinstance(record.get("x"), dict)
            values, has_id = _message(line) if self._has_messages else (_FLAT.decode(line), False)
            self._has_ids = self._has_ids or has_id
            return values if self._fits(values, where, bad) else None
        except msgspec.ValidationError as e:
            kind = "nested value" if "$" in str(e) else "no object"  # the text names a path
            reason = fault(e, values_in(line), "the line")
            bad.add(kind, f"{where} must be a flat JSON object: {reason}")
        except UnicodeError:
            bad.add("encoding", f"{where} must be UTF-8")
        except (msgspec.DecodeError, RecursionError) as e:
            reason = fault(e, whole="the line", body=line)
            bad.add("no JSON", f"{where} must be a flat JSON object: {reason}")
        return None


def _message(line: str) -> tuple[dict[str, Any], bool]:
    """Return the fields of a message, those of a row or id and label, and whether it has an id."""
    try:
        row = _ROW.decode(line)
    except msgspec.ValidationError:
        try:
            label = _LABEL.decode(line)
        except msgspec.ValidationError:
            label = None
        if label is None:
            raise
        return {"id": label.id, "label": label.label}, True
    values = {**row.x, "y": row.y, "t": row.t}
    return (values, False) if row.id is None else ({**values, "id": row.id}, True)


CONNECTORS = (
    Connector(
        "jsonl",
        JSONLSource,
        {
            "jsonl:PATH?target=KEY": NumberedSource.guarantee,
            "jsonl:PATH?target=KEY&follow=1": FOLLOW_GUARANTEE,
            "jsonl:-?target=KEY": PIPE_GUARANTEE,
        },
    ),
)
