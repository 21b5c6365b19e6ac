"""Line protocol of InfluxDB in pipes and files as a source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loco_stream._checks import checks_types
from loco_stream.connectors._base.bad_rows import BadRows
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.lines import Lines
from loco_stream.connectors._base.numbered_source import NumberedSource
from loco_stream.connectors._base.tail_reader import (
    FOLLOW_GUARANTEE,
    PIPE_GUARANTEE,
    Numbered,
)
from loco_stream.connectors._base.text_source import TextSource
from loco_stream.connectors._line_protocol import EXTRA, is_data, parse_line
from loco_stream.errors import SourceError

_TIME = "time"
_NANOSECONDS = 1e-9


class InfluxSource(TextSource):
    r"""Rows in the line protocol of InfluxDB, one point per line.

    Tags and fields become columns, and the measurement is the column ``measurement``. The
    timestamp, in nanoseconds, is the event time.

    Parameters
    ----------
    path
        The file, in UTF-8; ``-`` is standard input, as the outputs ``execd`` and ``exec`` of
        Telegraf write to it.
    target
        Tag or field of the label; ``a,b`` names several targets. An empty name reads rows without
        labels.
    drop, use, id, keep, task, sequence, rate, speed, on_bad, follow, idle
        As in `CSVSource`.

    Raises
    ------
    SourceError
        The file is missing or empty, or the library is not installed; while reading: a malformed
        line.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from loco_stream.connectors import InfluxSource
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "points.txt"
    >>> _ = path.write_text('press,site=a speed=0.4,state="ok" 1700000000000000000\n')
    >>> [(s.x, s.y, s.t) for s in InfluxSource(path, target="state", drop=["measurement"])]
    [({'site': 'a', 'speed': 0.4}, 'ok', 1700000000.0)]
    """

    _fixed_columns = False
    _has_labels = True

    @checks_types
    def __init__(self, path: str | Path, target: str | None = None, **options: Any) -> None:
        EXTRA.load()
        super().__init__("influx", path, "utf-8", target, time=_TIME, **options)
        if self._tail is None:
            self._set_columns_from(self._peek("point, got none"))

    def _parse(self, lines: Lines, bad: BadRows) -> Numbered:
        number = 0
        while line := lines.read():
            number += 1
            lines.use(line)
            if not is_data(line):
                continue
            try:
                point = parse_line(line.rstrip("\r\n"))
            except SourceError as error:
                bad.add("no line protocol", f"line {number} of {self._where}: {error}")
                continue
            stamp = point["time"]
            time = None if stamp is None else stamp * _NANOSECONDS
            if self._fits(point["values"], f"line {number} of {self._where}", bad):
                yield number, {**point["values"], _TIME: time}


CONNECTORS = (
    Connector(
        "influx",
        InfluxSource,
        {
            "influx:-?target=FIELD": PIPE_GUARANTEE,
            "influx:PATH?target=FIELD": NumberedSource.guarantee,
            "influx:PATH?target=FIELD&follow=1": FOLLOW_GUARANTEE,
        },
        extra=EXTRA,
        hidden=frozenset({"time"}),
    ),
)
