"""Recorded events of sensors that speak only where something happens.

Event cameras, silicon cochleas.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.array_file import load_arrays
from loco_stream.connectors.rows import NumberedSource, Pace, check_task
from loco_stream.connectors.table import check_width, label_of
from loco_stream.connectors.values import sequence_id
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Event, Sample, Schema

__all__ = ["EventSource"]

_NEEDED = ("time", "line")


class EventSource(NumberedSource):
    """Events of an ``.npz`` file as rows: how many each line had in each bin of time.

    A model encodes rows, so events are counted in bins; bins without an event are left out, and the
    memory fades by the time that passed. Label and sequence of a row are those of the bin's last
    event; no bin holds two sequences.

    Parameters
    ----------
    path
        Arrays of one value an event: ``time`` (seconds, never falling within a sequence), ``line``
        (whole numbers from 0), and where there are any ``label`` and ``sequence``.
    bin
        Seconds that a row sums up.
    lines
        Number of lines; None takes the highest in the file.
    task
        None decides by the labels: numbers with a fraction mean regression.
    rate
        Replay at so many rows a second; None as fast as the engine takes.

    Raises
    ------
    SourceError
        No such file, a missing array, arrays of different lengths, a line out of range, a time that
        falls.
    ConfigError
        An option out of range.

    Examples
    --------
    >>> import os, tempfile
    >>> from loco_stream.connectors import open_source
    >>> path = os.path.join(tempfile.mkdtemp(), "events.npz")
    >>> np.savez(path, time=[0.001, 0.004, 0.025], line=[0, 1, 1], label=["up", "up", "down"])
    >>> [(row.x, row.y) for row in open_source(f"events:{path}?bin=0.01")]
    [({'0': 1.0, '1': 1.0}, 'up'), ({'0': 0.0, '1': 1.0}, 'down')]
    """

    def __init__(
        self,
        path: str | Path,
        *,
        bin: float = 0.01,  # noqa: A002 - the option's name in the URL
        lines: int | None = None,
        task: str | None = None,
        rate: float | None = None,
    ) -> None:
        if not (bin > 0 and math.isfinite(bin)):
            raise ConfigError(f"bin must be a number of seconds > 0, not {bin!r}")
        arrays = _arrays(Path(path))
        self._line, self._label, self._sequence = (
            arrays["line"],
            arrays.get("label"),
            arrays.get("sequence"),
        )
        highest = int(self._line.max())
        self._lines = highest + 1 if lines is None else lines
        if self._lines <= highest:
            raise ConfigError(f"lines is {lines}; {path} has events of line {highest}")
        check_width(str(path), self._lines)
        self._bin, self._bins = bin, np.floor(arrays["time"] / bin).astype(np.int64)
        self._begins = _begins(str(path), arrays["time"], self._bins, self._sequence)
        self.n_rows = len(self._begins)
        self._kind, found = _labels(self._label, check_task(task))
        self._names = tuple(map(str, range(self._lines)))
        super().__init__(f"events:{Path(path).name}", Schema(found, self._names), Pace(rate))

    def __iter__(self) -> Iterator[Event | Sequence[Event]]:
        """Yield rows from the position on, and empty lists while a paced row is not due."""
        while self._row < len(self._begins):
            yield from self._pace.wait(math.nan)
            self._row += 1
            yield self._sample(self._row - 1)

    def _sample(self, row: int) -> Sample:
        begin = self._begins[row]
        end = self._begins[row + 1] if row + 1 < len(self._begins) else len(self._line)
        counts = np.bincount(self._line[begin:end], minlength=self._lines).astype(float).tolist()
        y = None if self._label is None else label_of(self._label[end - 1].item(), self._kind)
        sequence = None if self._sequence is None else sequence_id(self._sequence[end - 1].item())
        t = float(self._bins[begin] + 1) * self._bin
        return Sample(dict(zip(self._names, counts, strict=True)), y, row, t, self.name, sequence)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    found = load_arrays(path, (*_NEEDED, "label", "sequence"))
    if not isinstance(found, dict):
        raise SourceError(
            f"{path} holds one array; an .npz file with the arrays time and line is needed"
        )
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise SourceError(
            f"{path} has no array {missing[0]!r}; time and line are needed, label and sequence may be there"
        )
    shapes = {array.shape for array in found.values()}
    if len(shapes) > 1 or found["time"].ndim != 1 or len(found["time"]) == 0:
        raise SourceError(
            f"{path} needs one value an event in each array, not the shapes {sorted(shapes)}"
        )
    if found["line"].dtype.kind not in "iu" or int(found["line"].min()) < 0:
        raise SourceError(f"{path}: line must be whole numbers from 0")
    if found["time"].dtype.kind not in "fiu" or not np.isfinite(found["time"]).all():
        raise SourceError(f"{path}: time must be finite numbers, in seconds")
    return found


def _begins(
    path: str, time: NDArray[Any], bins: NDArray[np.int64], sequence: NDArray[Any] | None
) -> NDArray[np.int64]:
    """Return the first event of each bin that has any."""
    other = np.zeros(len(bins) - 1, np.bool_) if sequence is None else sequence[1:] != sequence[:-1]
    if bool(((np.diff(time) < 0) & ~other).any()):
        raise SourceError(
            f"{path}: time falls from one event to the next; sort the events of each sequence"
        )
    return np.flatnonzero(np.concatenate([[True], (np.diff(bins) != 0) | other]))


def _labels(label: NDArray[Any] | None, task: str | None) -> tuple[str, str | None]:
    """Return the kind of the labels and their task."""
    if label is None or task == "regression":
        return "float", task
    if label.dtype.kind == "f":
        whole = bool((label == np.floor(label)).all())
        return ("int", "classification") if whole or task else ("float", "regression")
    return ("int" if label.dtype.kind in "iu" else "str"), "classification"
