"""Records as lines of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from loco_stream.connectors.outlet import Outlet, encode
from loco_stream.errors import ConfigError
from loco_stream.records import Record

__all__ = ["JSONLRecords"]


class JSONLRecords(Outlet):
    """Appends one line of JSON a record to a file; ``-`` is standard output.

    The learner waits for a disk that is slow, at most 30 s.

    Parameters
    ----------
    path
        The file; what is in it stays.
    options
        Those of `Outlet`.

    Raises
    ------
    ConfigError
        There can be no such file.
    """

    guarantee = "at least once: lines are handed to the operating system; after a kill the last ones may be there twice"

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(f"jsonl:{path}", **{"wait": 30.0, "batch": 1000, **options})
        if path != "-" and (os.path.isdir(path) or not os.path.isdir(os.path.dirname(path) or ".")):
            raise ConfigError(f"cannot write {path}: it is a folder, or its folder does not exist")
        self._path = path
        self._file: int | None = None

    def send(self, records: Sequence[Record]) -> None:
        """Write lines."""
        lines = b"".join(encode(record) + b"\n" for record in records)
        if self._path == "-":
            sys.stdout.write(lines.decode())
            sys.stdout.flush()
            return
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            size = os.fstat(self._file).st_size
            if (
                size and os.pread(self._file, 1, size - 1) != b"\n"
            ):  # a line that a full disk cut off
                os.write(self._file, b"\n")
        written = memoryview(lines)
        while written:
            written = written[os.write(self._file, written) :]

    def disconnect(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
