"""Recorded events of sensors that report changes only, such as event cameras."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from loco_stream._arrays import Array, Int64
from loco_stream._checks import checks_types
from loco_stream._joins import Item
from loco_stream.connectors._base.array_file import array_labels, load_arrays
from loco_stream.connectors._base.checks import check_positive, check_task
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.numbered_source import NumberedSource, Pace
from loco_stream.connectors._base.options import Seconds
from loco_stream.connectors._base.table_source import check_width, label_of
from loco_stream.connectors._base.values import sequence_id
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Sample, Schema

_REQUIRED = ("time", "line")


class EventSource(NumberedSource):
    """Rows with the number of events per channel and time bin.

    The events are arrays of an ``.npz`` file. Bins without an event are left out. Label and
    sequence id of a row are those of the last event in its bin; a bin never holds two sequences.

    Parameters
    ----------
    path
        File with arrays of one value per event: ``time`` (seconds, not decreasing within a
        sequence), ``line`` (the channel, a whole number from 0), and optionally ``label`` and
        ``sequence``.
    bin
        Width of a bin, in seconds; a URL takes a unit too, as in ``10ms``.
    lines
        Number of channels. By default one more than the highest in the file.
    task
        As in `NPYSource`.
    rate
        As in `CSVSource`.

    Raises
    ------
    SourceError
        The file or an array is missing, arrays differ in length, or times decrease.
    ConfigError
        An option is out of range.

    Examples
    --------
    >>> import os, tempfile
    >>> from loco_stream.connectors import open_source
    >>> path = os.path.join(tempfile.mkdtemp(), "events.npz")
    >>> np.savez(path, time=[0.001, 0.004, 0.025], line=[0, 1, 1], label=["up", "up", "down"])
    >>> [(row.x, row.y) for row in open_source(f"events:{path}?bin=10ms")]
    [({'0': 1.0, '1': 1.0}, 'up'), ({'0': 0.0, '1': 1.0}, 'down')]
    """

    @checks_types
    def __init__(
        self,
        path: str | Path,
        *,
        bin: Seconds = 0.01,  # noqa: A002 - the name of the URL option
        lines: int | None = None,
        task: str | None = None,
        rate: float | None = None,
    ) -> None:
        check_positive(bin=bin)
        arrays = _load(Path(path))
        self._channel = arrays["line"]
        self._label = arrays.get("label")
        self._sequence = arrays.get("sequence")
        highest = int(self._channel.max())
        self._n_channels = highest + 1 if lines is None else lines
        if self._n_channels <= highest:
            raise ConfigError(
                f"`lines` must be at least {highest + 1}, as {path} has events of channel "
                f"{highest}, got {lines}"
            )
        check_width(str(path), self._n_channels)
        self._bin_width = bin
        self._bin = np.floor(arrays["time"] / bin).astype(np.int64)
        self._starts = _bin_starts(str(path), arrays["time"], self._bin, self._sequence)
        self.n_rows = len(self._starts)
        self._label_kind, found = array_labels(self._label, check_task(task))
        self._features = tuple(map(str, range(self._n_channels)))
        super().__init__(f"events:{Path(path).name}", Schema(found, self._features), Pace(rate))

    def __iter__(self) -> Iterator[Item]:
        """Yield rows from the position on, and empty lists while a paced row is not due."""
        while self._row < len(self._starts):
            yield from self._pace.wait(math.nan)
            self._row += 1
            yield self._sample(self._row - 1)

    def _sample(self, row: int) -> Sample:
        start = self._starts[row]
        stop = self._starts[row + 1] if row + 1 < len(self._starts) else len(self._channel)
        counts = np.bincount(self._channel[start:stop], minlength=self._n_channels)
        x = dict(zip(self._features, counts.astype(float).tolist(), strict=True))
        y = None
        if self._label is not None:
            y = label_of(self._label[stop - 1].item(), self._label_kind)
        sequence = None
        if self._sequence is not None:
            sequence = sequence_id(self._sequence[stop - 1].item())
        t = float(self._bin[start] + 1) * self._bin_width
        return Sample(x, y, row, t, self.name, sequence)


def _load(path: Path) -> dict[str, Array]:
    arrays = load_arrays(path, (*_REQUIRED, "label", "sequence"))
    if not isinstance(arrays, dict):
        raise SourceError(f"{path} must be an .npz file with arrays time and line, got one array")
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise SourceError(f"{path} must have the arrays time and line, got no {missing[0]!r}")
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1 or arrays["time"].ndim != 1 or len(arrays["time"]) == 0:
        raise SourceError(
            f"{path} must have one value per event in each array, got the shapes {sorted(shapes)}"
        )
    if arrays["line"].dtype.kind not in "iu" or int(arrays["line"].min()) < 0:
        raise SourceError(
            f"`line` in {path} must be whole numbers from 0, got {_refused(arrays['line'])}"
        )
    if arrays["time"].dtype.kind not in "fiu" or not np.isfinite(arrays["time"]).all():
        raise SourceError(
            f"`time` in {path} must be finite numbers, in seconds, got {_refused(arrays['time'])}"
        )
    return arrays


def _refused(values: Array) -> str:
    """Return the type of values that are no such numbers, or the first of the wrong ones."""
    if values.dtype.kind in "iu":
        return str(values.min())
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return str(values[~np.isfinite(values)][0])
    return str(values.dtype)


def _bin_starts(path: str, time: Array, bins: Int64, sequence: Array | None) -> Int64:
    """Return the index of the first event of each bin that has any."""
    is_new = (
        np.zeros(len(bins) - 1, np.bool_) if sequence is None else sequence[1:] != sequence[:-1]
    )
    falls = np.flatnonzero((np.diff(time) < 0) & ~is_new)
    if len(falls):
        i = int(falls[0])
        raise SourceError(
            f"`time` in {path} must not decrease within a sequence, got {time[i + 1]} after "
            f"{time[i]} at event {i + 1:,}"
        )
    return np.flatnonzero(np.concatenate([[True], (np.diff(bins) != 0) | is_new]))


CONNECTORS = (Connector("events", EventSource, {"events:PATH?bin=0.01": EventSource.guarantee}),)
