"""Rows that a run could not use, kept in a file with the reason."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from loco_stream._joins import n_rows
from loco_stream._numbers import shown
from loco_stream._persistence.files import StrPath
from loco_stream._text import reason_of
from loco_stream.engine._row import Row
from loco_stream.stream import Block, Event, Labels, Sample

FILE = "quarantine.jsonl"
MAX_BYTES = 16 << 20  # a stream of bad rows must not fill the disk
_MAX_VALUES = 64  # values of a row that are written

Record: TypeAlias = dict[str, object]

_log = logging.getLogger("loco_stream.engine.quarantine")


class Quarantine:
    """Appends refused rows to ``quarantine.jsonl``, one JSON object per line.

    A row may be written twice: a run that is killed learns, and refuses, the rows since its last
    checkpoint again. Values are written as text of at most 60 characters, as they may be of any
    type and size.

    `folder`: where the file is; None writes nothing.

    `n_written`: rows written by this process.
    """

    def __init__(self, folder: StrPath | None) -> None:
        self.path = None if folder is None else Path(folder) / FILE
        self.n_written = 0

    def add(self, item: Event | Row, reason: str) -> None:
        """Write a refused row, or the first row of a refused block with the number of rows."""
        if self.path is None:
            return
        try:
            described = _described(item)
        except Exception as error:  # the row is here because something in it raises
            described = {"error": type(error).__name__}
        record = {"time": time.time(), "reason": reason, **described}
        line = json.dumps(record).encode() + b"\n"
        try:
            self._append(self.path, line)
        except OSError as error:
            _log.warning("cannot write %s: %s", self.path, reason_of(error))
        else:
            self.n_written += 1

    def _append(self, path: Path, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(line) <= MAX_BYTES:
                os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _described(item: Event | Row) -> Record:
    """Return what identifies a row, and its values as text."""
    record: Record = {
        "source": shown(item.source),
        "seq": shown(item.seq),
        "epoch": shown(getattr(item, "epoch", 0)),
    }
    if isinstance(item, Labels):
        return {**record, "of": shown(list(item.of)), "y": shown(list(item.y))}
    if isinstance(item, Sample):
        return {**record, **_values(item.x), "y": shown(item.y)}
    if isinstance(item, Row):
        return {**record, **_values(item.x if item.features is None else item.named)}
    record["rows"] = n_rows(item)
    return {**record, "x": shown(item.X), "y": shown(item.y)} if isinstance(item, Block) else record


def _values(x: object) -> Record:
    if not isinstance(x, Mapping):
        return {"x": shown(x)}
    items = list(x.items())
    values = {shown(name): shown(value) for name, value in items[:_MAX_VALUES]}
    return {"x": values, **({"n_features": len(items)} if len(items) > _MAX_VALUES else {})}
