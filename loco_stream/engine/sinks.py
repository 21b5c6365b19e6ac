"""Where predictions go: a file with one JSON object a line."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import IO, Any

import msgspec

from loco_stream.errors import ConfigError
from loco_stream.stream import Prediction, Sink

__all__ = ["JSONLSink"]


class JSONLSink(Sink):
    """Writes every prediction as one line of JSON.

    A row whose label comes late has two lines: one at once with ``"y": null``, one when it is
    scored. After a crash and a resume, rows since the last checkpoint may be there twice; `seq`
    tells them.

    Parameters
    ----------
    path
        The file.
    append
        Go on with an existing file, as a resumed run does; otherwise it is replaced at the first
        row.

    Raises
    ------
    ConfigError
        There can be no such file.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from loco_stream.stream import Prediction
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "predictions.jsonl"
    >>> sink = JSONLSink(path)
    >>> sink.write(Prediction(seq=0, y_pred="a", y="b", proba={"a": 0.75, "b": 0.25}))
    >>> sink.close({})
    >>> print(path.read_text().strip())
    {"seq":0,"y_pred":"a","y":"b","proba":{"a":0.75,"b":0.25}}
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self._path = os.fspath(path)
        if os.path.isdir(self._path) or not os.path.isdir(os.path.dirname(self._path) or "."):
            raise ConfigError(
                f"cannot write {self._path}: it is a folder, or its folder does not exist"
            )
        self._mode = "ab" if append else "wb"
        self._file: IO[bytes] | None = None
        self._encoder = msgspec.json.Encoder()

    def write(self, prediction: Prediction) -> None:
        """Add a line."""
        if self._file is None:
            self._file = self._open()
        line: dict[str, Any] = {
            "seq": prediction.seq,
            "y_pred": prediction.y_pred,
            "y": prediction.y,
        }
        if prediction.proba is not None:
            line["proba"] = {str(label): p for label, p in prediction.proba.items()}
        if not math.isnan(prediction.t):
            line["t"] = prediction.t
        if prediction.source:
            line["source"] = prediction.source
        self._file.write(self._encoder.encode(line) + b"\n")

    def close(self, report: Mapping[str, Any]) -> None:
        """Make the file complete; a run without rows leaves an empty one."""
        if self._file is None:
            self._file = self._open()
        self._file.close()

    def _open(self) -> IO[bytes]:
        try:
            return open(self._path, self._mode)
        except OSError as error:
            raise ConfigError(f"cannot write {self._path}: {error.strerror or error}") from error
