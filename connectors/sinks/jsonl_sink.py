"""Records as lines of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from loco_stream._checks import checks_types
from loco_stream._text import reason_of
from loco_stream.connectors._base.buffered_sink import BufferedSink, encode
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.options import Seconds
from loco_stream.errors import ConfigError
from loco_stream.stream import Record

_HOW = os.O_RDWR | os.O_APPEND | os.O_CREAT
_WAIT = 30.0


class JSONLSink(BufferedSink):
    """Writes one JSON object per record to a file; ``-`` is standard output.

    A file that was renamed or deleted meanwhile, as by a rotation of logs, is created anew.

    Parameters
    ----------
    path
        The file.
    append
        Append to an existing file, as a resumed run must. Otherwise it is replaced by the first
        record, or by an empty file at the end of a run without records.
    wait
        Time that the learner waits for a slow disk; then records are dropped. By default 30 s. The
        rows of a live source do not wait while writing fails, unless the option is given.
    batch
        As in `BufferedSink`.
    options
        Those of `BufferedSink`.

    Raises
    ------
    ConfigError
        The path cannot be written.

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

    @checks_types
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        append: bool = True,
        wait: Seconds | None = None,
        batch: int = 1000,
        **options: Any,
    ) -> None:
        self._path = os.fspath(path)
        seconds = _WAIT if wait is None else wait
        super().__init__(f"jsonl:{self._path}", wait=seconds, batch=batch, **options)
        if self._path != "-":
            _check_path(self._path)
        self._has_default_wait = wait is None
        self._append = append
        self._file: int | None = None

    def begin(self, run: Mapping[str, Any]) -> None:
        """Let no live source wait for a file that cannot be written."""
        super().begin(run)
        self._waits_while_failing = not (self._has_default_wait and run.get("is_live"))

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
            if self._is_in_place(self._file):
                return self._file
            self.disconnect()
        how = _HOW if self._append else _HOW | os.O_TRUNC
        self._file = os.open(self._path, how, 0o644)
        self._append = True  # it may be opened again after a failure
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":  # a full disk cut the last line off
            os.write(self._file, b"\n")
        return self._file

    def _is_in_place(self, file: int) -> bool:
        """Return whether the open file is still the one at the path."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(file))
        except OSError:
            return False

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


def _check_path(path: str) -> None:
    """Refuse a path that cannot be written; no file is left behind or changed."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ConfigError(f"cannot write {path}: there is no folder {folder}")
    is_new = not os.path.lexists(path)
    try:
        # a pipe is not opened here: its reader would take the end of the check for that of the run
        if is_new or os.path.isfile(path) or os.path.isdir(path):
            os.close(os.open(path, _HOW, 0o644))
        if is_new:
            os.unlink(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {reason_of(error)}") from error


CONNECTORS = (Connector("jsonl", JSONLSink, {"jsonl:PATH": JSONLSink.guarantee}),)
