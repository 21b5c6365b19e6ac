"""Records as lines of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from loco_stream.connectors._base.buffered_sink import BufferedSink, encode
from loco_stream.connectors._base.connector import Connector, Form
from loco_stream.connectors._base.options import Seconds
from loco_stream.errors import ConfigError
from loco_stream.stream import Record

__all__ = ["CONNECTORS", "JSONLSink"]


class JSONLSink(BufferedSink):
    """Writes one JSON object per record to a file; ``-`` is standard output.

    Parameters
    ----------
    path
        The file.
    append
        Append to an existing file, as a resumed run must. Otherwise it is replaced by the first
        record, or by an empty file at the end of a run without records.
    wait
        Time that the learner waits for a slow disk; then records are dropped.
    batch
        As in `BufferedSink`.
    options
        Those of `BufferedSink`.

    Raises
    ------
    ConfigError
        The path is a folder, or its folder does not exist.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from loco_stream.connectors import JSONLSink
    >>> from loco_stream.stream import Prediction
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "predictions.jsonl"
    >>> sink = JSONLSink(path, only="prediction")
    >>> sink.write(Prediction(seq=0, y_pred="a", y="b", proba={"a": 0.75, "b": 0.25}))
    >>> sink.close({})
    >>> print(path.read_text().strip())
    {"kind":"prediction","source":"","seq":0,"t":null,"prediction":"a","proba":{"a":0.75,...
    """

    guarantee = "at least once (after a kill, the last lines may be there twice)"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        append: bool = True,
        wait: Seconds = 30.0,
        batch: int = 1000,
        **options: Any,
    ) -> None:
        self._path = os.fspath(path)
        super().__init__(f"jsonl:{self._path}", wait=wait, batch=batch, **options)
        folder = os.path.dirname(self._path) or "."
        if self._path != "-" and (os.path.isdir(self._path) or not os.path.isdir(folder)):
            raise ConfigError(
                f"cannot write {self._path}: it is a folder, or its folder does not exist"
            )
        self._append = append
        self._file: int | None = None

    def send(self, records: Sequence[Record]) -> None:
        """Write one line per record."""
        lines = b"".join(encode(record) + b"\n" for record in records)
        if self._path == "-":
            sys.stdout.write(lines.decode())
            sys.stdout.flush()
            return
        file = self._open()
        written = memoryview(lines)
        while written:
            written = written[os.write(file, written) :]

    def _open(self) -> int:
        if self._file is not None:
            return self._file
        how = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self._file = os.open(self._path, how if self._append else how | os.O_TRUNC, 0o644)
        self._append = True  # it may be opened again after a failure
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":  # a full disk cut the last line off
            os.write(self._file, b"\n")
        return self._file

    def disconnect(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def close(self, report: Mapping[str, Any]) -> None:
        """Write the report and what is left; a run without records replaces the file as well."""
        super().close(report)
        if not self._append:
            self._open()
            self.disconnect()


CONNECTORS = (Connector("jsonl", JSONLSink, (Form("jsonl:PATH", JSONLSink.guarantee),)),)
