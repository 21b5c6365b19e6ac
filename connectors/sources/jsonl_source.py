"""JSON lines in files, pipes and growing files as a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.connector import Connector, Form
from loco_stream.connectors._base.lines import Lines
from loco_stream.connectors._base.numbered_source import NumberedSource, Pace
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors._base.table_source import Columns, check_speed, check_width
from loco_stream.connectors._base.tail_reader import FOLLOW_GUARANTEE, PIPE_GUARANTEE, Record
from loco_stream.connectors._base.text_source import TextSource
from loco_stream.errors import SourceError

__all__ = ["CONNECTORS", "JSONLSource"]

_Value = float | int | bool | str | None


class _Row(msgspec.Struct):
    """A line of the form that JSON messages have."""

    x: dict[str, _Value]
    y: _Value = None
    t: float | None = None


_FLAT = msgspec.json.Decoder(dict[str, _Value])
_ROW = msgspec.json.Decoder(_Row)


class JSONLSource(TextSource):
    r"""Rows of a file with one JSON object per line, plain or gzip.

    Rows may have different keys.

    Parameters
    ----------
    path
        The file, in UTF-8; ``-`` is standard input. A pipe or FIFO is read once, as its rows
        arrive.
    target
        Key of the label. An empty name reads rows without labels. Not needed for lines of the form
        ``{"x": {...}, "y": label, "t": seconds}``.
    drop, task, time, sequence, rate, speed, on_bad, follow, idle
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

    def __init__(
        self,
        path: str | Path,
        target: str | None = None,
        *,
        drop: Sequence[str] = (),
        task: str | None = None,
        time: str | None = None,
        sequence: str | None = None,
        rate: float | None = None,
        speed: float | None = None,
        on_bad: str = "stop",
        follow: bool = False,
        idle: Seconds | None = None,
    ) -> None:
        self._names: set[str] = set()
        # Whether lines have the form of JSON messages; None until the first one is read.
        self._has_messages: bool | None = False if target else None
        super().__init__(
            "jsonl",
            path,
            Columns(target, time, sequence, tuple(drop)),
            encoding="utf-8-sig",
            task=task,
            pace=Pace(rate, speed),
            bad=BadRows(on_bad),
            follow=follow,
            idle=idle,
        )
        if self._tail is not None:
            check_speed(time, speed)
            return
        records = self._peek()
        if not records:
            raise SourceError(f"{path} must have at least one line with a JSON object, got none")
        check_speed("t" if self._has_messages else time, speed)
        self._set_columns_from(records)

    def _set_columns_from(self, records: Sequence[Record]) -> None:
        if self._has_messages:
            self._roles = replace(self._roles, target="y", time="t")
        super()._set_columns_from(records)

    def _parse(self, lines: Lines, bad: BadRows) -> Iterator[tuple[int, Record]]:
        number = 0
        while line := lines.read():
            number += 1
            lines.use(line)
            if line.strip() and (record := self._decode(line, number, bad)) is not None:
                self._names.update(record)
                check_width(str(self.path), len(self._names))
                yield number, record

    def _decode(self, line: str, number: int, bad: BadRows) -> dict[str, Any] | None:
        where = f"line {number} of {self.path}"
        try:
            if self._has_messages is None:
                record = msgspec.json.decode(line)
                if isinstance(record, dict):
                    self._has_messages = isinstance(record.get("x"), dict)
            if not self._has_messages:
                return _FLAT.decode(line)
            row = _ROW.decode(line)
            return {**row.x, "y": row.y, "t": row.t}
        except msgspec.ValidationError as e:
            kind = "nested value" if "$" in str(e) else "no object"  # the text names a path
            bad.add(kind, f"{where} must be a flat JSON object: {e}")
        except UnicodeError:
            bad.add("encoding", f"{where} must be UTF-8")
        except (msgspec.DecodeError, RecursionError) as e:
            bad.add("no JSON", f"{where} must be a flat JSON object: {e}")
        return None


CONNECTORS = (
    Connector(
        "jsonl",
        JSONLSource,
        (
            Form("jsonl:PATH?target=KEY", NumberedSource.guarantee),
            Form("jsonl:PATH?target=KEY&follow=1", FOLLOW_GUARANTEE),
            Form("jsonl:-?target=KEY", PIPE_GUARANTEE),
        ),
    ),
)
